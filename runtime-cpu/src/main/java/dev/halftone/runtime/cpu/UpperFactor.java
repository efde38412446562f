package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.NotPositiveDefiniteException;
import java.util.Arrays;

/// `inverse(a) = Uᵀ·U` in place, `U` upper triangular. With `a = R·Rᵀ`, `R` upper triangular, `U = R⁻¹`: one Cholesky
/// factorisation from the last block backwards, and, in the same sweep, the rows of the inverse.
///
/// For the block of rows `p` with everything behind it already `U`:
///
/// 1. `R[p,p]` by Cholesky and `T = R[p,p]⁻¹` by substitution, both in double precision;
/// 2. the columns above: `R[i,p] = a[i,p]·Tᵀ`, then `a[i,j] -= R[i,p]·R[j,p]ᵀ` for the upper triangle before `p`;
/// 3. the row behind: `U[p,j] = -T·(R[p,·]·U[·,j])`, and `U[p,p] = T`.
///
/// Steps 2 and 3 are matrix products and nearly all of the work.
final class UpperFactor {
    /// A multiple of every tile's width, so that a tile's columns never lie in two blocks.
    static final int BLOCK = 128;

    private final Gemm gemm;
    private final WorkerPool pool;
    private final MatrixPanels panels;

    UpperFactor(Gemm gemm, WorkerPool pool, Kernels kernels) {
        this.gemm = gemm;
        this.pool = pool;
        this.panels = new MatrixPanels(kernels);
        assert BLOCK % (Kernels.TILE_STRIPS * kernels.lanes()) == 0;
    }

    void invert(CpuMatrix a) throws NotPositiveDefiniteException {
        int n = a.rows();
        double[] r = new double[BLOCK * BLOCK];
        double[] t = new double[BLOCK * BLOCK];
        try (Memory inverse = Memory.ofFloats((long) BLOCK * BLOCK);
                Memory strip = Memory.ofFloats((long) BLOCK * n)) {
            for (int first = (n - 1) / BLOCK * BLOCK; first >= 0; first -= BLOCK) {
                int size = Math.min(BLOCK, n - first);
                factorBlock(a, first, size, r);
                invertBlock(r, size, t);
                for (int i = 0; i < size; i++) {
                    for (int j = 0; j < size; j++) {
                        putFloat(inverse.address(), (long) i * BLOCK + j, (float) t[i * size + j]);
                    }
                }
                updateAbove(a, first, size, inverse, strip);
                invertRow(a, first, size, inverse, strip);
                for (int i = 0; i < size; i++) {
                    Memory.copyFloats(inverse.address() + 4L * BLOCK * i, a.at(first + i, first), size);
                }
            }
        }
        pool.splitFreely(n, 64, (worker, from, to) -> {
            for (int row = from; row < to; row++) {
                Memory.zeroFloats(a.row(row), row);
            }
        });
    }

    private static void putFloat(long address, long index, float value) {
        Memory.putFloat(address + index * Float.BYTES, value);
    }

    /// `r[i][j]`, `i <= j`, with `a = r·rᵀ`, from the last column backwards.
    private static void factorBlock(CpuMatrix a, int first, int size, double[] r) throws NotPositiveDefiniteException {
        for (int j = size - 1; j >= 0; j--) {
            for (int i = j; i >= 0; i--) {
                double sum = Memory.getFloat(a.at(first + i, first + j))
                        - dot(r, i * size + j + 1, j * size + j + 1, size - j - 1);
                if (i < j) {
                    r[i * size + j] = sum / r[j * size + j];
                } else if (sum > 0 && sum < Double.POSITIVE_INFINITY) {
                    r[j * size + j] = Math.sqrt(sum);
                } else {
                    throw new NotPositiveDefiniteException(first + j, sum);
                }
            }
        }
    }

    /// Four sums side by side, since one alone waits for each addition.
    private static double dot(double[] r, int first, int second, int count) {
        double sum0 = 0;
        double sum1 = 0;
        double sum2 = 0;
        double sum3 = 0;
        int k = 0;
        for (; k + 3 < count; k += 4) {
            sum0 += r[first + k] * r[second + k];
            sum1 += r[first + k + 1] * r[second + k + 1];
            sum2 += r[first + k + 2] * r[second + k + 2];
            sum3 += r[first + k + 3] * r[second + k + 3];
        }
        for (; k < count; k++) {
            sum0 += r[first + k] * r[second + k];
        }
        return sum0 + sum1 + (sum2 + sum3);
    }

    /// `t = r⁻¹`, upper triangular; rows from the last one up, so that the innermost loop runs along rows.
    private static void invertBlock(double[] r, int size, double[] t) {
        Arrays.fill(t, 0);
        for (int i = size - 1; i >= 0; i--) {
            t[i * size + i] = 1;
            for (int k = i + 1; k < size; k++) {
                double factor = r[i * size + k];
                for (int j = k; j < size; j++) {
                    t[i * size + j] -= factor * t[k * size + j];
                }
            }
            double pivot = r[i * size + i];
            for (int j = i; j < size; j++) {
                t[i * size + j] /= pivot;
            }
        }
    }

    private void updateAbove(CpuMatrix a, int first, int size, Memory inverse, Memory strip) {
        if (first == 0) {
            return;
        }
        long stripRow = (long) size * Float.BYTES;
        for (int row = 0; row < first; row++) {
            Memory.copyFloats(a.at(row, first), strip.address() + row * stripRow, size);
            Memory.zeroFloats(a.at(row, first), size);
        }
        gemm.accumulate(
                strip.address(),
                stripRow,
                first,
                panels.ofTransposed(inverse.address(), 4L * BLOCK, size),
                size,
                size,
                a.at(0, first),
                a.rowBytes(),
                1f,
                Gemm.Part.ALL);
        gemm.accumulate(
                a.at(0, first),
                a.rowBytes(),
                first,
                panels.ofTransposed(a.at(0, first), a.rowBytes(), first),
                size,
                first,
                a.address(),
                a.rowBytes(),
                -1f,
                Gemm.Part.UPPER_RESULT);
    }

    private void invertRow(CpuMatrix a, int first, int size, Memory inverse, Memory strip) {
        int behind = first + size;
        int width = a.rows() - behind;
        if (width == 0) {
            return;
        }
        long stripRow = (long) width * Float.BYTES;
        Memory.zeroFloats(strip.address(), (long) size * width);
        gemm.accumulate(
                a.at(first, behind),
                a.rowBytes(),
                size,
                panels.of(a.at(behind, behind), a.rowBytes(), width),
                width,
                width,
                strip.address(),
                stripRow,
                1f,
                Gemm.Part.UPPER_RIGHT);
        for (int row = 0; row < size; row++) {
            Memory.zeroFloats(a.at(first + row, behind), width);
        }
        gemm.accumulate(
                inverse.address(),
                4L * BLOCK,
                size,
                panels.of(strip.address(), stripRow, width),
                size,
                width,
                a.at(first, behind),
                a.rowBytes(),
                -1f,
                Gemm.Part.ALL);
    }
}
