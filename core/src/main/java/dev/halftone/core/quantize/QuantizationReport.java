package dev.halftone.core.quantize;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.halftone.core.weight.QuantizationScheme;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.SortedMap;

/// What a run did.
///
/// @param tool                as `name:version`
/// @param model               name of the source directory
/// @param family              of the model
/// @param layers              decoder blocks
/// @param parameters          numbers in the source
/// @param quantizedParameters of them, weights that were quantized
/// @param method              that found the codes
/// @param settings            of the method
/// @param scheme              of the codes
/// @param layout              in which they are stored
/// @param calibration         what the method was shown, or null if it needed nothing
/// @param linears             in the order in which they were done
/// @param sourceBytes         of all tensors in the source
/// @param writtenBytes        of all tensors in the output
/// @param bitsPerWeight       stored bits per quantized weight, scales and zeros included
/// @param verified            linears that were read back from the written files and restored to the very numbers that
///                            were computed
/// @param backend             that did the arithmetic
/// @param seconds             of the whole run
public record QuantizationReport(
        String tool,
        String model,
        String family,
        int layers,
        long parameters,
        long quantizedParameters,
        String method,
        SortedMap<String, Object> settings,
        QuantizationScheme scheme,
        String layout,
        Calibration.Facts calibration,
        List<LinearReport> linears,
        long sourceBytes,
        long writtenBytes,
        double bitsPerWeight,
        int verified,
        String backend,
        double seconds) {
    /// Where a run leaves its report, without times, in the directory that it makes.
    public static final String FILE = "halftone.json";

    public QuantizationReport {
        linears = List.copyOf(linears);
    }

    /// Hash of the text that the model in `directory` was calibrated on; empty if no report there tells of one.
    public static Optional<String> calibrationText(Path directory) throws IOException {
        Path file = directory.resolve(FILE);
        if (!Files.isRegularFile(file)) {
            return Optional.empty();
        }
        try {
            JsonNode hash = new ObjectMapper()
                    .readTree(Files.readAllBytes(file))
                    .path("calibration")
                    .path("textSha256");
            return Optional.ofNullable(hash.textValue());
        } catch (JsonProcessingException e) {
            // Somebody else's file of this name.
            return Optional.empty();
        }
    }

    /// Mean of the linears' relative errors.
    public double meanError() {
        return linears.stream()
                .mapToDouble(linear -> linear.error().relative())
                .average()
                .orElse(0);
    }

    /// The linear with the largest relative error.
    public LinearReport worst() {
        return linears.stream()
                .max(Comparator.comparingDouble(linear -> linear.error().relative()))
                .orElseThrow();
    }

    /// The linears whose moments could be factored only with more damping than was asked for.
    public List<LinearReport> retried() {
        return linears.stream().filter(linear -> linear.attempts().size() > 1).toList();
    }
}
