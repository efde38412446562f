package dev.halftone.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Clock;
import java.time.temporal.ChronoUnit;
import java.util.function.Consumer;

/// A file that everything a command tells is appended to, one JSON object on a line: the events of `--json`, and notes
/// and progress besides. Each has the time. A run that is taken up again may write to the same file.
final class EventLog implements AutoCloseable {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final FileChannel channel;
    private final Clock clock;
    private IOException fault;

    private EventLog(FileChannel channel, Clock clock) {
        this.channel = channel;
        this.clock = clock;
    }

    /// @throws HalftoneException of kind USAGE if the file cannot be written
    static EventLog open(Path file, Clock clock) {
        try {
            return new EventLog(
                    FileChannel.open(
                            file, StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.APPEND),
                    clock);
        } catch (IOException e) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "--log: cannot write to '" + file + "'",
                    e.toString(),
                    "a file in a folder that is there",
                    e);
        }
    }

    /// An event as it is; `fields` adds what comes after its name and time.
    void add(String event, Consumer<ObjectNode> fields) {
        ObjectNode line = JSON.createObjectNode()
                .put("event", event)
                .put("time", clock.instant().truncatedTo(ChronoUnit.MILLIS).toString());
        fields.accept(line);
        try {
            // At once, and so that two processes that share a file do not mix their lines.
            ByteBuffer bytes = ByteBuffer.wrap((JSON.writeValueAsString(line) + "\n").getBytes(StandardCharsets.UTF_8));
            while (bytes.hasRemaining() && fault == null) {
                int count = channel.write(bytes);
                assert count >= 0;
            }
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("a tree of plain values always serializes", e);
        } catch (IOException e) {
            // The work is worth more than its log; whoever closes it is told.
            fault = e;
        }
    }

    /// Why the log is not complete, or null.
    IOException fault() {
        return fault;
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            fault = fault == null ? e : fault;
        }
    }
}
