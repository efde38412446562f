package dev.halftone.runtime.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import dev.halftone.core.compute.Linear;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.ActivationScheme;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import dev.halftone.runtime.cpu.OneDnn.Numbers;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class ManyRowsTest {
    private static ManyRows refused(ProductMode mode, WorkerPool pool, Scratch scratch) {
        Kernels kernels = VectorWidth.kernels();
        return new ManyRows(
                mode,
                kernels,
                new PanelRestorer(kernels, null),
                null,
                null,
                pool,
                scratch,
                new Gemm(kernels, null, pool, scratch),
                9,
                workers -> {
                    throw new OneDnnUnavailable("no such machine");
                });
    }

    @ParameterizedTest
    @EnumSource(
            value = ProductMode.class,
            names = {"ONEDNN", "ONEDNN_BF16"})
    void refusesWhatWasAskedForByNameAndCannotBeHad(ProductMode mode) {
        TestBackends.requireWidth();
        try (WorkerPool pool = new WorkerPool(1);
                Scratch scratch = new Scratch(1)) {
            HalftoneException fault = assertThrows(HalftoneException.class, () -> refused(mode, pool, scratch));
            assertEquals(Kind.RESOURCES, fault.kind());
            assertEquals("no such machine", fault.detail());
            assertTrue(fault.remedy().contains("--matmul vector"), fault.remedy());
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = ProductMode.class,
            names = {"AUTO", "STEADY", "QUICK"})
    void takesVectorsWhereOneDnnCannotBeHadAndSaysWhy(ProductMode mode) {
        TestBackends.requireWidth();
        try (WorkerPool pool = new WorkerPool(1);
                Scratch scratch = new Scratch(1);
                ManyRows products = refused(mode, pool, scratch)) {
            assertTrue(products.description().contains("nothing to choose"), products.description());
            products.decide();
            assertEquals("vector kernels, float32 (oneDNN refused: no such machine)", products.description());
        }
    }

    @Test
    void steadilyTakesOneDnnWithoutMeasuring() {
        Weight weight = Samples.dense(DType.BF16, 64, 512);
        int rows = CpuLinear.SMALL_ROWS + 1;
        try (CpuBackend steady = TestBackends.open(2, ProductMode.STEADY);
                CpuBackend oneDnn = TestBackends.open(2, ProductMode.ONEDNN);
                Linear found = steady.bind(weight, null);
                Linear expected = oneDnn.bind(weight, null);
                Matrix x = Samples.matrix(steady, rows, 512, 3);
                Matrix y = steady.allocate(rows, 64);
                Matrix x2 = Samples.matrix(oneDnn, rows, 512, 3);
                Matrix y2 = oneDnn.allocate(rows, 64)) {
            found.multiply(x, y);
            expected.multiply(x2, y2);
            assertArrayEquals(Samples.values(oneDnn, y2), Samples.values(steady, y));
            assertEquals(oneDnn.products(), steady.products());
            assertEquals(oneDnn.arithmetic(), steady.arithmetic());
        }
    }

    /// Tiles are taken unmeasured, but not by who asks for the same numbers everywhere.
    @Test
    void takesTilesWhereTheProcessorHasThem() {
        TestBackends.requireMachineCode();
        Assumptions.assumeTrue(BFloat16Tiles.load() != null, "no tiles for bfloat16 here");
        for (ProductMode mode : new ProductMode[] {ProductMode.AUTO, ProductMode.QUICK, ProductMode.STEADY}) {
            try (CpuBackend backend = TestBackends.open(2, mode)) {
                backend.decideProducts();
                assertEquals(
                        mode != ProductMode.STEADY, backend.products().equals("AMX, bfloat16"), backend.products());
            }
        }
    }

    /// Numbers that bfloat16 holds exactly, so that only the order of the sums is another; more inputs than go through
    /// the cache at a time, more rows than are shared out in pieces, and rows and outputs that are no whole blocks.
    @ParameterizedTest
    @CsvSource({"70, 200, 4640", "64, 320, 2560", "530, 300, 2336"})
    void sumsInputsInChunksAndRowsInPieces(int rows, int outputs, int inputs) {
        Weight weight = Samples.dense(DType.BF16, outputs, inputs);
        float[] bias = new float[outputs];
        Arrays.fill(bias, 3);
        try (CpuBackend vectors = TestBackends.open(2);
                CpuBackend rounding = TestBackends.open(2, ProductMode.ONEDNN_BF16);
                Linear expected = vectors.bind(weight, bias);
                Linear found = rounding.bind(weight, bias);
                Matrix x = vectors.allocate(rows, inputs);
                Matrix y = vectors.allocate(rows, outputs);
                Matrix x2 = rounding.allocate(rows, inputs);
                Matrix y2 = rounding.allocate(rows, outputs)) {
            float[] values = new float[rows * inputs];
            for (int i = 0; i < values.length; i++) {
                values[i] = (i * 7 % 31 - 15) / 16f;
            }
            vectors.copyIn(values, 0, x);
            rounding.copyIn(values, 0, x2);
            expected.multiply(x, y);
            found.multiply(x2, y2);
            Samples.requireClose(Samples.values(vectors, y), Samples.values(rounding, y2));
        }
    }

    @Test
    void measuresBeforeItChoosesWhereThereAreNone() {
        TestBackends.requireWidth();
        TestBackends.requireOneDnn();
        int leastRows = CpuLinear.SMALL_ROWS + 1;
        try (CpuBackend backend = new CpuBackend(VectorWidth.kernels(), null, 2, ProductMode.AUTO, leastRows)) {
            assertTrue(backend.products().contains("nothing to choose"), backend.products());
            backend.decideProducts();
            assertTrue(
                    backend.products()
                            .matches("(vector kernels|oneDNN \\S+), (float32|bfloat16) \\(measured \\d+ GFLOP/s by"
                                    + " vectors, \\d+ by oneDNN in float32, \\d+ in bfloat16(; the compiler did"
                                    + " not finish in time)?\\)"),
                    backend.products());
        }
    }

    @ParameterizedTest
    @CsvSource({
        "100, 100, 100, ",
        "100, 110, 60, ",
        "100, 116, 60, FLOAT32",
        "100, 150, 200, FLOAT32",
        "100, 150, 269, FLOAT32",
        "100, 150, 271, BFLOAT16",
        "100, 90, 179, ",
        "100, 90, 181, BFLOAT16",
        "300, 400, 2200, BFLOAT16"
    })
    void takesAnotherThanVectorsOnlyByAClearFactor(double vector, double single, double half, Numbers expected) {
        assertEquals(expected, ProductProbe.choose(vector, single, half));
    }

    /// Of the same linear, few rows stay with the kernels that decode and many do not: the two differ in their last
    /// bits, or in the eighth where bfloat16 is used.
    @Test
    void leavesFewRowsToTheDecodingKernels() {
        Weight weight = Samples.dense(DType.BF16, 64, 512);
        try (CpuBackend vectors = TestBackends.open(2);
                CpuBackend rounding = TestBackends.open(2, ProductMode.ONEDNN_BF16);
                Linear expected = vectors.bind(weight, null);
                Linear found = rounding.bind(weight, null)) {
            for (int rows : new int[] {1, CpuLinear.SMALL_ROWS, CpuLinear.SMALL_ROWS + 1}) {
                try (Matrix x = Samples.matrix(vectors, rows, 512, 3);
                        Matrix y = vectors.allocate(rows, 64);
                        Matrix x2 = Samples.matrix(rounding, rows, 512, 3);
                        Matrix y2 = rounding.allocate(rows, 64)) {
                    expected.multiply(x, y);
                    found.multiply(x2, y2);
                    boolean same = Arrays.equals(Samples.values(vectors, y), Samples.values(rounding, y2));
                    assertEquals(rows <= CpuLinear.SMALL_ROWS, same, rows + " rows");
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"17, 65, 72", "33, 200, 608", "300, 130, 96", "40, 2100, 72", "530, 200, 160", "64, 2048, 4160"})
    void multipliesRoundedInputsToTheSameBitsAsTheVectorKernels(int rows, int outputs, int inputs) {
        Weight weight = Samples.quantized(
                        QuantizationScheme.gptq(8, QuantizationScheme.PER_CHANNEL, true), outputs, inputs)
                .withActivations(ActivationScheme.PER_TOKEN);
        float[] bias = Samples.floats(outputs, 5);
        float[][] results = new float[2][];
        try (CpuBackend vectors = TestBackends.open(2);
                CpuBackend oneDnn = TestBackends.open(2, ProductMode.ONEDNN)) {
            for (CpuBackend backend : List.of(vectors, oneDnn)) {
                try (Linear linear = backend.bind(weight, bias);
                        Matrix x = Samples.matrix(backend, rows, inputs, 4);
                        Matrix y = backend.allocate(rows, outputs)) {
                    linear.multiply(x, y);
                    results[backend == vectors ? 0 : 1] = Samples.values(backend, y);
                }
            }
            boolean found = oneDnn.products().contains("integers by ");
            assertEquals(oneDnn.products().contains("by AMX") || canAddBytes(), found, oneDnn.products());
        }
        assertArrayEquals(results[0], results[1]);
    }

    /// Enough outputs for wide panels, the last of them narrower than the others.
    @Test
    void multipliesByWidePanels() {
        int outputs = PanelProduct.WIDE_OUTPUTS + 52;
        float[] bias = Samples.floats(outputs, 5);
        try (CpuBackend vectors = TestBackends.open(2);
                CpuBackend oneDnn = TestBackends.open(2, ProductMode.ONEDNN)) {
            for (Weight weight : Samples.weights(outputs, 96)) {
                float[][] results = new float[2][];
                for (CpuBackend backend : List.of(vectors, oneDnn)) {
                    try (Linear linear = backend.bind(weight, bias);
                            Matrix x = Samples.matrix(backend, 40, 96, 4);
                            Matrix y = backend.allocate(40, outputs)) {
                        linear.multiply(x, y);
                        results[backend == vectors ? 0 : 1] = Samples.values(backend, y);
                    }
                }
                Samples.requireClose(results[0], results[1]);
            }
        }
    }

    private static boolean canAddBytes() {
        try (OneDnn oneDnn = new OneDnn(1)) {
            return oneDnn.multiplies(Numbers.UNSIGNED8);
        } catch (OneDnnUnavailable problem) {
            throw new AssertionError(problem);
        }
    }

    @Test
    void keepsToVectorsWhenNothingElseIsAskedFor() {
        try (CpuBackend backend = TestBackends.open(1)) {
            assertEquals("vector kernels, float32", backend.products());
        }
    }

    @Test
    void knowsItsModesByTheirWords() {
        for (ProductMode mode : ProductMode.values()) {
            assertEquals(mode, ProductMode.of(mode.word()));
        }
        assertEquals(ProductMode.ONEDNN_BF16, ProductMode.of("onednn-bf16"));
        HalftoneException fault = assertThrows(HalftoneException.class, () -> ProductMode.of("mkl"));
        assertEquals(Kind.USAGE, fault.kind());
        assertFalse(fault.detail().contains("_"), fault.detail());
    }
}
