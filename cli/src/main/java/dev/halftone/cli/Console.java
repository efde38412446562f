package dev.halftone.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.PrintStream;
import java.util.function.Consumer;

/// Where a command writes: results to standard output, as text or as JSON lines, and everything else to standard error.
/// Used by one thread at a time.
final class Console {
    private final PrintStream out;
    private final PrintStream err;
    private final Environment environment;
    private final GlobalOptions options;
    private ObjectMapper mapper;
    private Progress progress;
    private EventLog log; // null unless one was asked for

    Console(PrintStream out, PrintStream err, Environment environment, GlobalOptions options) {
        this.out = out;
        this.err = err;
        this.environment = environment;
        this.options = options;
    }

    /// Writes everything from here on into `newLog` as well, which stays the caller's.
    void log(EventLog newLog) {
        log = newLog;
    }

    Environment environment() {
        return environment;
    }

    GlobalOptions options() {
        return options;
    }

    /// A line of the result; JSON takes its place under `--json`.
    void result(String line) {
        if (!options.json) {
            toOut(line + System.lineSeparator());
        }
    }

    /// A line that explains the result: not under `-q`, nor under `--json`.
    void line(String line) {
        if (!options.quiet) {
            result(line);
        }
    }

    /// A piece of a streamed result, shown at once.
    void stream(String piece) {
        if (!options.json) {
            toOut(piece);
        }
    }

    /// Something worth knowing that is no result: not under `-q`.
    void note(String line) {
        logMessage("note", line);
        if (!options.quiet) {
            toErr(line);
        }
    }

    /// Something worth knowing under `-v` only.
    void detail(String line) {
        logMessage("detail", line);
        if (options.verbose) {
            toErr(line);
        }
    }

    private void logMessage(String kind, String line) {
        if (log != null) {
            log.add(kind, fields -> fields.put("message", line));
        }
    }

    /// How far a step has come, for the log.
    void progressed(String label, double share, double seconds, String note) {
        if (log != null) {
            log.add(
                    "progress",
                    fields -> fields.put("step", label)
                            .put("share", share)
                            .put("seconds", seconds)
                            .put("message", note));
        }
    }

    /// A JSON line, under `--json` and in the log.
    ///
    /// @param fields adds the fields after `event`
    void event(String name, Consumer<ObjectNode> fields) {
        if (log != null) {
            log.add(name, fields);
        }
        if (!options.json) {
            return;
        }
        if (mapper == null) {
            mapper = new ObjectMapper();
        }
        ObjectNode event = mapper.createObjectNode().put("event", name);
        fields.accept(event);
        try {
            // One write per event, and '\n' on every system: readers split on it.
            toOut(mapper.writeValueAsString(event) + "\n");
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("a tree of plain values always serializes", e);
        }
    }

    /// A fault: on standard error, and as an event under `--json`.
    void failure(Failure failure) {
        clearProgress();
        event("error", fields -> {
            fields.put("kind", failure.kind())
                    .put("exit_code", failure.status())
                    .put("message", failure.what());
            if (failure.detail() != null) {
                fields.put("detail", failure.detail());
            }
            if (failure.remedy() != null) {
                fields.put("remedy", failure.remedy());
            }
        });
        out.flush();
        failure.print(err, options.verbose);
    }

    /// Starts a progress line in place of the last one.
    Progress progress(String label) {
        clearProgress();
        progress = new Progress(this, label);
        return progress;
    }

    /// Whether whoever reads the results has gone, as `head` does.
    boolean abandoned() {
        return out.checkError();
    }

    /// Bold on a terminal that standard output goes to.
    String bold(String text) {
        return environment.terminalOut() && environment.color() && !options.noColor
                ? "\u001b[1m" + text + "\u001b[0m"
                : text;
    }

    PrintStream err() {
        return err;
    }

    private void toOut(String text) {
        hideProgress();
        out.print(text);
        out.flush();
        showProgress();
    }

    private void toErr(String line) {
        hideProgress();
        err.println(line);
        err.flush();
        showProgress();
    }

    private void hideProgress() {
        if (progress != null) {
            progress.hide();
        }
    }

    private void showProgress() {
        if (progress != null) {
            progress.show();
        }
    }

    /// Called by a progress line that ends.
    void clearProgress() {
        if (progress != null) {
            progress.hide();
            progress = null;
        }
    }
}
