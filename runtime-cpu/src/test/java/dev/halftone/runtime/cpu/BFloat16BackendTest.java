package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.AttentionShape;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.BackendContract;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.weight.CodedWeight;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.Weight;

class BFloat16BackendTest extends BackendContract {
    @Override
    protected Backend open() {
        return TestBackends.open(2, ProductMode.ONEDNN_BF16);
    }

    @Override
    protected boolean roundsToBFloat16(Weight weight, int rows) {
        return rows > CpuLinear.SMALL_ROWS
                && switch (weight) {
                    case DenseWeight dense -> dense.tensor().type() == DType.BF16;
                    case CodedWeight codes -> true;
                };
    }

    private static boolean usesTiles(int rows) {
        return rows > CpuLinear.SMALL_ROWS && DigitKernels.suits(VectorWidth.kernels()) && BFloat16Tiles.load() != null;
    }

    @Override
    protected boolean roundsAttention(AttentionShape shape, int rows) {
        return usesTiles(rows) && TileAttention.takes(shape);
    }

    @Override
    protected boolean roundsMoments(int left, int right, int rows) {
        return usesTiles(rows) && TileGram.takes(left, right);
    }
}
