package dev.halftone.cli;

import dev.halftone.core.HalftoneException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.time.Clock;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CancellationException;
import picocli.CommandLine;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.UnmatchedArgumentException;

/// One command line, from its words to an exit status. Touches no global state, so tests run it in their own process.
final class Halftone {
    private final PrintStream out;
    private final PrintStream err;
    private final Environment environment;
    private final Interruption interruption;

    Halftone(PrintStream out, PrintStream err, Environment environment, Interruption interruption) {
        this.out = out;
        this.err = err;
        this.environment = environment;
        this.interruption = interruption;
    }

    /// @return exit status
    int run(String... arguments) {
        RootCommand root = new RootCommand();
        Console console = new Console(out, err, environment, root.options);
        CommandLine parser = Commands.parser(root, arguments);
        ParseResult parsed;
        try {
            parsed = parser.parseArgs(arguments);
        } catch (ParameterException e) {
            // Parsing stopped somewhere: whether the rest asks for JSON has to be seen in the words themselves.
            root.options.json = Arrays.asList(arguments).contains("--json");
            console.failure(usage(e));
            return Failure.USAGE;
        }
        if (answerQuestions(parser, parsed, console)) {
            return 0;
        }
        return root.options.log == null
                ? execute(parsed, root.options, console)
                : executeLogged(parsed, root.options, console, arguments);
    }

    private int executeLogged(ParseResult parsed, GlobalOptions options, Console console, String[] arguments) {
        EventLog log;
        try {
            log = EventLog.open(options.log, Clock.systemUTC());
        } catch (HalftoneException e) {
            Failure failure = Failure.of(e);
            console.failure(failure);
            return failure.status();
        }
        int status;
        try (log) {
            log.add("started", fields -> {
                fields.put("version", Version.halftone())
                        .put("java", Runtime.version().toString())
                        .put("process", ProcessHandle.current().pid())
                        .put("folder", Path.of("").toAbsolutePath().toString());
                List.of(arguments).forEach(fields.putArray("arguments")::add);
            });
            console.log(log);
            status = execute(parsed, options, console);
            log.add("ended", fields -> fields.put("exit_code", status));
        }
        if (log.fault() != null) {
            err.println("warning: the log '" + options.log + "' is not complete: " + log.fault());
            err.flush();
        }
        return status;
    }

    /// Help and version.
    private boolean answerQuestions(CommandLine parser, ParseResult parsed, Console console) {
        ParseResult leaf = leaf(parsed);
        if (parsed.isVersionHelpRequested()) {
            out.println("halftone " + Version.halftone() + " on Java " + Runtime.version());
        } else if (leaf.isUsageHelpRequested() || parsed.isUsageHelpRequested()) {
            leaf.commandSpec().commandLine().usage(out, ansi(console));
        } else if (!parsed.hasSubcommand()) {
            parser.usage(out, ansi(console));
        } else {
            return false;
        }
        out.flush();
        return true;
    }

    private Ansi ansi(Console console) {
        return environment.terminalOut() && environment.color() && !console.options().noColor ? Ansi.ON : Ansi.OFF;
    }

    private int execute(ParseResult parsed, GlobalOptions options, Console console) {
        Command command = (Command) leaf(parsed).commandSpec().userObject();
        try {
            if (options.threads != null && options.threads.least() < 1) {
                throw Usage.fault("--threads must be at least 1, found " + options.threads, null);
            }
            return command.run(console, interruption);
        } catch (CancellationException e) {
            console.clearProgress();
            console.event("stopped", fields -> fields.put("message", command.stopped()));
            err.println(command.stopped());
            err.flush();
            return Failure.INTERRUPTED;
        } catch (Exception | OutOfMemoryError e) {
            Failure failure = Failure.of(e);
            console.failure(failure);
            return failure.status();
        }
    }

    private static ParseResult leaf(ParseResult parsed) {
        return parsed.hasSubcommand() ? parsed.subcommand() : parsed;
    }

    private static Failure usage(ParameterException e) {
        String command = e.getCommandLine().getCommandSpec().qualifiedName();
        String what = e.getMessage();
        String remedy = command + " --help";
        if (e instanceof UnmatchedArgumentException unmatched) {
            String first = unmatched.getUnmatched().getFirst();
            boolean option = first.startsWith("-");
            boolean atRoot = e.getCommandLine().getParent() == null;
            what = (option ? "unknown option '" : atRoot ? "unknown command '" : "unexpected argument '") + first + "'";
            List<String> suggestions = unmatched.getSuggestions();
            if (!suggestions.isEmpty() && (option || atRoot)) {
                remedy = String.join(" or ", suggestions.subList(0, Math.min(3, suggestions.size()))) + "; see "
                        + remedy;
            }
        }
        return new Failure(Failure.USAGE, "usage", what, null, remedy, e);
    }
}
