package dev.halftone.cli;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;

/// Facts about the machine and this process. What a system does not tell is empty, never guessed.
final class Machine {
    private Machine() {}

    /// Physical memory, or the container's share of it.
    static long totalMemory() {
        return system().getTotalMemorySize();
    }

    /// Memory that new work may use: what is free, plus the file cache that the system would give up.
    static long availableMemory() {
        OptionalLong machine = number(Path.of("/proc/meminfo"), "MemAvailable:");
        long free = system().getFreeMemorySize();
        // In a container the system's figure is the whole machine's; the share is the lower bound then.
        return machine.isPresent() ? Math.min(machine.getAsLong(), totalMemory()) : free;
    }

    /// Largest resident memory of this process so far.
    static OptionalLong peakMemory() {
        return number(Path.of("/proc/self/status"), "VmHWM:");
    }

    /// Seconds since this process began, to a hundredth.
    static OptionalDouble sinceStart() {
        return ProcessHandle.current()
                .info()
                .startInstant()
                .map(start ->
                        OptionalDouble.of(Duration.between(start, Instant.now()).toNanos() / 1e9))
                .orElse(OptionalDouble.empty());
    }

    /// Free disk for a file below `folder`, which need not exist yet.
    static long freeDisk(Path folder) throws IOException {
        Path existing = folder.toAbsolutePath();
        while (existing != null && !Files.exists(existing)) {
            existing = existing.getParent();
        }
        return Files.getFileStore(existing == null ? Path.of("/") : existing).getUsableSpace();
    }

    /// The processor's name, where the system tells.
    static Optional<String> processor() {
        return value(Path.of("/proc/cpuinfo"), "model name").map(text -> text.replaceFirst("^[\\s:]+", ""));
    }

    private static OperatingSystemMXBean system() {
        return (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    }

    /// A number of kilobytes, in bytes.
    private static OptionalLong number(Path file, String key) {
        return value(file, key)
                .map(text -> OptionalLong.of(1024 * Long.parseLong(text.replaceAll("[^0-9]", ""))))
                .orElse(OptionalLong.empty());
    }

    /// What follows `key` on the first line that begins with it.
    private static Optional<String> value(Path file, String key) {
        if (!Files.isReadable(file)) {
            return Optional.empty();
        }
        try (var lines = Files.lines(file, StandardCharsets.ISO_8859_1)) {
            return lines.filter(line -> line.startsWith(key))
                    .findFirst()
                    .map(line -> line.substring(key.length()).strip());
        } catch (IOException e) {
            return Optional.empty();
        }
    }
}
