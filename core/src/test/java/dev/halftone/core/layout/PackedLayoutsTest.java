package dev.halftone.core.layout;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.FieldSource;
import org.junit.jupiter.params.provider.ValueSource;

class PackedLayoutsTest {
    @ParameterizedTest
    @FieldSource("dev.halftone.core.layout.PackedLayouts#NAMES")
    void everyLayoutStoresTheSchemeThatIsNaturalToIt(String name) {
        for (DType modelType : new DType[] {DType.BF16, DType.F16, DType.F32}) {
            QuantizationScheme scheme = PackedLayouts.scheme(name, 4, 64, false, modelType);
            PackedLayout layout = PackedLayouts.of(name, scheme, ActivationScheme.Kind.NONE);
            assertEquals(name, layout.name());
            assertEquals("4-bit g64 asymmetric", layout.description());
            assertDoesNotThrow(() -> layout.requireStorable("q", 96, 192, scheme));
        }
    }

    @ParameterizedTest
    @CsvSource({"gptq, F16, 1", "gptq_v2, F16, 0", "awq, F16, 0", "compressed-tensors, BF16, 0"})
    void takesScalesAndZerosThatTheFormatCanHold(String name, DType scaleType, int lowestZero) {
        QuantizationScheme scheme = PackedLayouts.scheme(name, 4, 128, false, DType.BF16);
        assertEquals(new QuantizationScheme(4, 128, false, scaleType, lowestZero), scheme);
    }

    @Test
    void storesRoundedInputsAsIntegers() {
        QuantizationScheme scheme = PackedLayouts.scheme("compressed-tensors", 8, -1, true, DType.BF16);
        assertEquals(
                "8-bit per channel symmetric, made for 8-bit inputs per token",
                PackedLayouts.of("compressed-tensors", scheme, ActivationScheme.Kind.PER_TOKEN)
                        .description());
        assertEquals(
                "8-bit per channel symmetric",
                PackedLayouts.of("compressed-tensors", scheme, ActivationScheme.Kind.NONE)
                        .description());
    }

    @ParameterizedTest
    @ValueSource(strings = {"gptq", "gptq_v2", "awq"})
    void refusesRoundedInputsWhereThereIsNoPlaceForThem(String name) {
        QuantizationScheme scheme = PackedLayouts.scheme(name, 4, 64, false, DType.BF16);
        assertEquals(
                "the layout '" + name + "' is for weights alone | it has no place for the scales of inputs",
                Refusal.of(() -> PackedLayouts.of(name, scheme, ActivationScheme.Kind.PER_TOKEN)));
    }

    @Test
    void namesTheLayoutsThatThereAre() {
        QuantizationScheme scheme = QuantizationScheme.gptq(4, 64, true);
        HalftoneException refusal = assertThrows(
                HalftoneException.class, () -> PackedLayouts.of("marlin", scheme, ActivationScheme.Kind.NONE));
        assertEquals(Kind.USAGE, refusal.kind());
        assertEquals("there is no layout 'marlin'", refusal.getMessage());
        assertEquals("layouts: gptq, gptq_v2, awq, compressed-tensors", refusal.detail());
        assertEquals(
                "there is no layout 'ct' | layouts: gptq, gptq_v2, awq, compressed-tensors",
                Refusal.of(() -> PackedLayouts.scheme("ct", 4, 64, true, DType.F16)));
    }
}
