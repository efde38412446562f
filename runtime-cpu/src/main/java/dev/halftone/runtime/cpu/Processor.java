package dev.halftone.runtime.cpu;

import dev.halftone.runtime.cpu.assembly.MachineCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/// What this processor, and the system on it, let machine code of ours use. Nothing is assumed: without a word from the
/// system there is nothing.
final class Processor {
    /// Set to `false`, no machine code of ours is used.
    static final String PROPERTY = "halftone.cpu.machine-code";

    private static final Set<String> FLAGS = new HashSet<>();

    /// Why there are no flags; null if there are.
    private static final String REFUSAL = read();

    private static Boolean tiles;

    private Processor() {}

    private static String read() {
        if ("false".equals(System.getProperty(PROPERTY))) {
            return "switched off by " + PROPERTY;
        }
        if (!System.getProperty("os.name").equals("Linux")
                || !System.getProperty("os.arch").equals("amd64")) {
            return "not Linux on x86-64";
        }
        try {
            // What the system lets programs use, too, and not only what the processor has.
            for (String line : Files.readAllLines(Path.of("/proc/cpuinfo"))) {
                if (line.startsWith("flags")) {
                    FLAGS.addAll(List.of(
                            line.substring(line.indexOf(':') + 1).strip().split(" ")));
                    break;
                }
            }
        } catch (IOException problem) {
            return "/proc/cpuinfo cannot be read: " + problem.getMessage();
        }
        return null;
    }

    /// What stands in the way of machine code that uses these extensions, named as Linux does, in one line; null if
    /// nothing does.
    static String missing(Collection<String> extensions) {
        if (REFUSAL != null) {
            return REFUSAL;
        }
        List<String> lacking =
                extensions.stream().filter(flag -> !FLAGS.contains(flag)).toList();
        return lacking.isEmpty() ? null : "the processor lacks " + String.join(", ", lacking);
    }

    /// Whether nothing is [#missing].
    static boolean has(String... extensions) {
        return missing(List.of(extensions)) == null;
    }

    /// Whether tiles (AMX) may be used, of which `numbers` names the kind: `amx_int8` or `amx_bf16`.
    static synchronized boolean hasTiles(String numbers) {
        if (!has("amx_tile", numbers)) {
            return false;
        }
        if (tiles == null) {
            tiles = MachineCode.requestTiles();
        }
        return tiles;
    }
}
