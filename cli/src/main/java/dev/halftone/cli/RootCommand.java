package dev.halftone.cli;

import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "halftone",
        header = "Quantizes Llama-class models and runs them, on the JVM.%n",
        synopsisHeading = "",
        customSynopsis = "Usage: halftone COMMAND [OPTIONS]",
        commandListHeading = "%nCommands:%n",
        optionListHeading = "%nOptions of every command:%n",
        footer = {
            "",
            "MODEL and OUT are folders as Hugging Face lays them out. To begin:",
            "",
            "  halftone demo                       a minute's tour with a tiny model",
            "  halftone quantize MODEL OUT         4-bit GPTQ",
            "  halftone run OUT --prompt \"Hello\"   talk to the result",
            "  halftone COMMAND --help             what a command takes",
            "",
            "Exit status: 0 done, 2 usage, 3 model or text, 4 memory or disk, 6 numbers,",
            "9 output taken, 130 interrupted, 1 a fault of Halftone itself."
        })
final class RootCommand {
    @Mixin
    final GlobalOptions options = new GlobalOptions();

    @Option(
            names = {"-V", "--version"},
            versionHelp = true,
            description = "Version.")
    boolean version;
}
