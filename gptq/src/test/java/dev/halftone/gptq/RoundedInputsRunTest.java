package dev.halftone.gptq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.ReferenceBackend;
import dev.halftone.core.layout.CompressedTensorsLayout;
import dev.halftone.core.quantize.Calibration;
import dev.halftone.core.quantize.InputRange;
import dev.halftone.core.quantize.InputRounding;
import dev.halftone.core.quantize.LinearReport;
import dev.halftone.core.quantize.QuantizationListener;
import dev.halftone.core.quantize.QuantizationReport;
import dev.halftone.core.quantize.QuantizationRun;
import dev.halftone.core.quantize.Recipe;
import dev.halftone.core.quantize.RoundToNearest;
import dev.halftone.core.quantize.WeightQuantizer;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.testing.SyntheticCheckpoint;
import dev.halftone.core.weight.QuantizationScheme;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/// The solver where weights and inputs are both integers.
class RoundedInputsRunTest {
    private final Backend backend = new ReferenceBackend();

    @TempDir
    private Path folder;

    private Path source;

    @BeforeEach
    void writeTheModel() throws IOException {
        source = folder.resolve("model");
        SyntheticCheckpoint.write(source, SyntheticCheckpoint.tinyConfig(), DType.BF16, 11);
    }

    private QuantizationReport run(WeightQuantizer quantizer, InputRounding rounding) throws IOException {
        QuantizationScheme scheme =
                QuantizationScheme.compressedTensors(8, QuantizationScheme.PER_CHANNEL, true, DType.BF16);
        Recipe recipe = new Recipe(
                List.of(), quantizer, scheme, CompressedTensorsLayout.integers(scheme, rounding.kind()), rounding);
        int[] tokens =
                IntStream.range(0, 24 * 32).map(i -> (i * 31 + i / 7 * i) % 96).toArray();
        Calibration calibration = Calibration.of("text", tokens, 24, 32);
        return new QuantizationRun(source, folder.resolve("out"), recipe, calibration, backend)
                .run(new QuantizationListener() {});
    }

    static Stream<InputRounding> roundings() {
        return Stream.of(InputRounding.PER_TOKEN, InputRounding.perTensor(InputRange.MIN_MAX));
    }

    @ParameterizedTest
    @MethodSource("roundings")
    void isNoWorseThanPlainRoundingOnRoundedInputs(InputRounding rounding) throws IOException {
        QuantizationReport report = run(new GptqQuantizer(GptqOptions.DEFAULT), rounding);
        assertEquals(21, report.verified());
        for (LinearReport linear : report.linears()) {
            assertTrue(linear.error().relative() <= linear.error().rounding(), linear.toString());
        }
    }

    @ParameterizedTest
    @EnumSource(Target.class)
    void takesEveryTarget(Target target) throws IOException {
        QuantizationReport report =
                run(new GptqQuantizer(GptqOptions.DEFAULT.withTarget(target)), InputRounding.PER_TOKEN);
        assertEquals(21, report.verified());
    }

    @Test
    void namesTheBlockWhoseInputsNoScaleCanHold() throws IOException {
        // The norm's output is finite, but the product behind it is not.
        Path loud = folder.resolve("loud");
        LoudCheckpoint.write(source, loud, "model.layers.1.post_attention_layernorm.weight", 1e30f);
        source = loud;
        HalftoneException failure = assertThrows(
                HalftoneException.class, () -> run(new RoundToNearest(), InputRounding.perTensor(InputRange.MIN_MAX)));
        assertEquals(HalftoneException.Kind.NUMERICS, failure.kind());
        assertTrue(failure.getMessage().contains("layer 1"), failure.explanation());
        assertFalse(Files.exists(folder.resolve("out")));
    }
}
