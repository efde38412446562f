package dev.halftone.runtime.cpu;

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
}
