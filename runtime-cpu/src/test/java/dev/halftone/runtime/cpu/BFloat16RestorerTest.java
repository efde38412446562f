package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.weight.QuantizationScheme;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// The words of the vector kernels, bit for bit.
class BFloat16RestorerTest {
    @ParameterizedTest
    @CsvSource({
        "4, 32, false",
        "4, 64, true",
        "4, 128, false",
        "4, -1, true",
        "8, 32, false",
        "8, 64, true",
        "8, -1, true"
    })
    void restoresAsTheVectorKernelsDo(int bits, int groupSize, boolean symmetric) {
        TestBackends.requireMachineCode();
        Assumptions.assumeTrue(DigitKernels.load().restorer() != null, "no bfloat16 here");
        int inputs = 256;
        int lanes = Lanes.COUNT;
        QuantizationScheme scheme = QuantizationScheme.gptq(bits, groupSize, symmetric);
        Kernels kernels = new VectorKernels();
        long step = (long) OneDnn.BLOCK * Integer.BYTES;
        long bytes = inputs / 2 * step;
        try (WorkerPool pool = new WorkerPool(1);
                PackedWeight weight = WeightPacker.pack(Samples.quantized(scheme, 40, inputs), null, lanes, pool);
                Memory floats = Memory.ofFloats((long) inputs * lanes);
                Memory arguments = Memory.ofBytes(BFloat16Code.Argument.COUNT.ordinal() * (long) Long.BYTES);
                Memory expected = Memory.ofBytes(bytes);
                Memory found = Memory.ofBytes(bytes)) {
            assertTrue(BFloat16Restorer.takes(weight));
            for (int strip = 0; strip < weight.strips; strip++) {
                kernels.restore(weight, strip, 0, weight.wordsPerStrip(), floats.address());
                long vector = weight.vectorBytes();
                for (int k = 0; k < inputs; k += 2 * lanes) {
                    long low = floats.address() + k * vector;
                    kernels.roundPairs(
                            low, low + lanes * vector, vector, lanes, expected.address() + k / 2 * step, step);
                }
                DigitKernels.load().restorer().restore(weight, strip, found.address(), arguments.address());
                for (long at = 0; at < bytes; at += Integer.BYTES) {
                    assertEquals(
                            Memory.getInt(expected.address() + at), Memory.getInt(found.address() + at), "byte " + at);
                }
            }
        }
    }
}
