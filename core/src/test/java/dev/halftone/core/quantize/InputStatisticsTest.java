package dev.halftone.core.quantize;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.ReferenceBackend;
import org.junit.jupiter.api.Test;

class InputStatisticsTest {
    private final Backend backend = new ReferenceBackend();

    private Matrix matrix(int columns, float... values) {
        Matrix matrix = backend.allocate(values.length / columns, columns);
        backend.copyIn(values, 0, matrix);
        return matrix;
    }

    @Test
    void averagesTheProductsOfAllTokens() {
        try (InputStatistics statistics = new InputStatistics(2, backend)) {
            statistics.add(matrix(2, 1, 2, 3, 4));
            statistics.add(matrix(2, 5, -6));

            float[] moments = new float[4];
            backend.copyOut(statistics.moments(), moments, 0);
            backend.copyOut(statistics.moments(), moments, 0); // asking again changes nothing
            assertArrayEquals(new float[] {35f / 3, -16f / 3, -16f / 3, 56f / 3}, moments, 1e-6f);
            assertEquals(3, statistics.tokens());
            assertEquals(2, statistics.width());
        }
    }

    @Test
    void takesNoMoreTokensOnceRead() {
        try (InputStatistics statistics = new InputStatistics(2, backend)) {
            Matrix x = matrix(2, 1, 2);
            statistics.add(x);
            statistics.moments();

            assertThrows(IllegalStateException.class, () -> statistics.add(x));
        }
    }

    @Test
    void hasNoMomentsWithoutTokens() {
        try (InputStatistics statistics = new InputStatistics(2, backend)) {
            assertThrows(IllegalStateException.class, statistics::moments);
        }
    }

    @Test
    void computesWhatIsDerivedOnceAndClosesIt() {
        int[] closed = new int[1];
        InputStatistics.Derived first = () -> closed[0]++;
        InputStatistics.Derived second = () -> closed[0]++;
        try (InputStatistics statistics = new InputStatistics(2, backend)) {
            assertSame(first, statistics.derived("a", InputStatistics.Derived.class, () -> first));
            assertSame(first, statistics.derived("a", InputStatistics.Derived.class, () -> second));
            assertSame(second, statistics.derived("b", InputStatistics.Derived.class, () -> second));
            assertEquals(0, closed[0]);
        }
        assertEquals(2, closed[0]);
    }

    @Test
    void refusesMomentsThatAreNotSquare() {
        Matrix flat = backend.allocate(2, 3);

        assertThrows(IllegalArgumentException.class, () -> InputStatistics.ofMoments(flat, 5, backend));
    }
}
