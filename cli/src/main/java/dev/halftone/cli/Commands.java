package dev.halftone.cli;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.UsageMessageSpec;

/// The commands there are. Only the one that a command line names is loaded with its options, so that starting stays
/// quick; the others are known by name and summary.
enum Commands {
    QUANTIZE("Rounds the weights of a model to few bits."),
    PERPLEXITY("Scores a model on a text."),
    RUN("Lets a model answer or continue a prompt."),
    CONVERT("Turns a model into another file format."),
    BENCH("Measures how fast a model is here."),
    INSPECT("Tells what a model folder holds."),
    DEMO("Quantizes a tiny model with every method and compares."),
    DOCTOR("Checks this machine and says what to mend.");

    /// Commands before options, which picocli has the other way round.
    private static final List<String> SECTIONS = List.of(
            UsageMessageSpec.SECTION_KEY_HEADER,
            UsageMessageSpec.SECTION_KEY_SYNOPSIS_HEADING,
            UsageMessageSpec.SECTION_KEY_SYNOPSIS,
            UsageMessageSpec.SECTION_KEY_DESCRIPTION,
            UsageMessageSpec.SECTION_KEY_COMMAND_LIST_HEADING,
            UsageMessageSpec.SECTION_KEY_COMMAND_LIST,
            UsageMessageSpec.SECTION_KEY_PARAMETER_LIST,
            UsageMessageSpec.SECTION_KEY_OPTION_LIST_HEADING,
            UsageMessageSpec.SECTION_KEY_OPTION_LIST,
            UsageMessageSpec.SECTION_KEY_FOOTER);

    private final String summary;

    Commands(String summary) {
        this.summary = summary;
    }

    /// A switch and no constructor references, which would link every command's class at every start.
    private Command create() {
        return switch (this) {
            case QUANTIZE -> new QuantizeCommand();
            case PERPLEXITY -> new PerplexityCommand();
            case RUN -> new RunCommand();
            case CONVERT -> new ConvertCommand();
            case BENCH -> new BenchCommand();
            case INSPECT -> new InspectCommand();
            case DEMO -> new DemoCommand();
            case DOCTOR -> new DoctorCommand();
        };
    }

    String word() {
        return name().toLowerCase(Locale.ROOT);
    }

    /// The parser of one command line.
    static CommandLine parser(RootCommand root, String... arguments) {
        CommandLine line = new CommandLine(root);
        for (Commands command : values()) {
            boolean named = Arrays.asList(arguments).contains(command.word());
            line.addSubcommand(command.word(), named ? new CommandLine(command.create()) : command.stub());
        }
        line.setUsageHelpWidth(80);
        line.setHelpSectionKeys(SECTIONS);
        line.setCaseInsensitiveEnumValuesAllowed(true);
        line.setOverwrittenOptionsAllowed(true);
        return line;
    }

    private CommandLine stub() {
        CommandSpec spec = CommandSpec.create();
        spec.usageMessage().description(summary);
        return new CommandLine(spec);
    }
}
