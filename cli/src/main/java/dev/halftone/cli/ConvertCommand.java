package dev.halftone.cli;

import dev.halftone.core.checkpoint.GgufType;
import dev.halftone.core.convert.Conversion;
import dev.halftone.core.convert.ConversionProgress;
import dev.halftone.core.convert.ConversionReport;
import dev.halftone.core.convert.GgufOptions;
import dev.halftone.core.layout.PackedLayouts;
import dev.halftone.core.tensor.DType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@picocli.CommandLine.Command(
        name = "convert",
        description = {
            "Turns a model into another file format, with the same codes where the format",
            "can hold them. OUT appears whole or not at all."
        },
        sortOptions = false,
        footer = {
            "",
            "  dense               folder in floating point",
            "  gguf                GGUF file",
            "  gptq, gptq_v2, awq, compressed-tensors",
            "                      packed folder with the same codes, from a packed folder",
            "                      or a GGUF file with Q4_0 or Q8_0 linears"
        })
final class ConvertCommand implements Command {
    private static final String DENSE = "dense";
    private static final String GGUF = "gguf";
    private static final String USUAL_TYPE = "BF16";

    @Parameters(index = "0", paramLabel = "IN", description = "Folder of the model, or a GGUF file.")
    Path source;

    @Parameters(index = "1", paramLabel = "OUT", description = "Folder, or GGUF file, to write.")
    Path out;

    @Option(names = "--to", paramLabel = "FORMAT", required = true, description = "See below.")
    String to;

    @Option(
            names = "--dtype",
            paramLabel = "TYPE",
            description = "Of what is not packed: BF16, F16 or F32; for gguf also Q8_0, Q4_0, Q4_1. Default: BF16;"
                    + " from one packed folder to another: as it is.")
    String type;

    @Override
    public int run(Console console, Interruption interruption) throws IOException {
        long start = System.nanoTime();
        ConversionReport report;
        try (Progress progress = console.progress("Converting")) {
            report = convert((tensor, done, total) -> {
                interruption.check();
                progress.update(done, total, Printable.line(tensor));
            });
        }
        double seconds = (System.nanoTime() - start) / 1e9;
        long exact = report.tensors().stream()
                .filter(ConversionReport.TensorReport::exact)
                .count();
        console.result(Figures.format(
                "%d of %d tensors exact · largest difference %.3g",
                exact, report.tensors().size(), report.largestDifference()));
        for (ConversionReport.TensorReport tensor : report.tensors()) {
            console.event(
                    "tensor",
                    fields -> fields.put("name", tensor.name())
                            .put("stored", tensor.stored())
                            .put("largest_difference", tensor.largestDifference()));
        }
        console.event(
                "done",
                fields -> fields.put("out", out.toString())
                        .put("tensors", report.tensors().size())
                        .put("exact", exact)
                        .put("largest_difference", report.largestDifference())
                        .put("seconds", seconds));
        return 0;
    }

    private ConversionReport convert(ConversionProgress progress) throws IOException {
        String target = to.toLowerCase(Locale.ROOT);
        if (target.equals(DENSE)) {
            return Conversion.toDense(source, out, plainType(), progress);
        }
        if (target.equals(GGUF)) {
            GgufType stored = choice(GgufType.class, "--dtype", type());
            try {
                return Conversion.toGguf(source, out, GgufOptions.of(stored, stored), progress);
            } catch (IllegalArgumentException e) {
                throw Usage.fault("--dtype " + type() + ": " + e.getMessage(), "--dtype BF16");
            }
        }
        if (!PackedLayouts.NAMES.contains(target)) {
            throw Usage.fault(
                    "--to " + to + " is unknown",
                    "one of " + DENSE + ", " + GGUF + ", " + String.join(", ", PackedLayouts.NAMES));
        }
        if (!Files.isDirectory(source)) {
            return Conversion.toPacked(source, out, plainType(), target, progress);
        }
        if (type != null) {
            throw Usage.fault(
                    "from one packed folder to another, what is not packed stays as it is", "without --dtype");
        }
        return Conversion.repack(source, out, target, progress);
    }

    private String type() {
        return type == null ? USUAL_TYPE : type;
    }

    private DType plainType() {
        DType chosen = choice(DType.class, "--dtype", type());
        if (chosen != DType.BF16 && chosen != DType.F16 && chosen != DType.F32) {
            throw Usage.fault("--dtype " + type() + " is not a type of weights", "--dtype BF16, F16 or F32");
        }
        return chosen;
    }

    private static <E extends Enum<E>> E choice(Class<E> type, String option, String word) {
        for (E constant : type.getEnumConstants()) {
            if (constant.name().equalsIgnoreCase(word)) {
                return constant;
            }
        }
        String known = Arrays.stream(type.getEnumConstants()).map(Enum::name).collect(Collectors.joining(", "));
        throw Usage.fault(option + " " + word + " is unknown", "one of " + known);
    }
}
