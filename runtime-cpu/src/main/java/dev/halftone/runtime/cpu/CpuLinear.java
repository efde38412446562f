package dev.halftone.runtime.cpu;

import dev.halftone.core.compute.Linear;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.weight.ActivationScheme;
import java.util.Objects;

/// A bound weight: few rows go to [SmallProduct], many to [Gemm] over panels restored once; rows that are to be rounded
/// to [IntegerProduct].
final class CpuLinear implements Linear {
    /// Up to here reading the weight costs more than computing with it.
    static final int SMALL_ROWS = 16;

    private final CpuBackend backend;
    private final PackedWeight weight;
    private final ActivationScheme activations;
    private final RestoredPanels panels;

    CpuLinear(CpuBackend backend, PackedWeight weight, ActivationScheme activations) {
        this.backend = backend;
        this.weight = weight;
        this.activations = activations;
        this.panels = new RestoredPanels(backend.kernels(), weight);
    }

    /// @throws IllegalArgumentException if `linear` comes from another backend
    static CpuLinear of(Linear linear) {
        if (!(linear instanceof CpuLinear ours)) {
            throw new IllegalArgumentException("a linear of another backend: " + linear);
        }
        return ours;
    }

    @Override
    public int inputs() {
        return weight.inputs;
    }

    @Override
    public int outputs() {
        return weight.outputs;
    }

    @Override
    public void multiply(Matrix x, Matrix y) {
        multiply(CpuMatrix.of(x), CpuMatrix.of(y), false);
    }

    /// @param again whether the last product of the backend was one by the same `x`, which has not changed since
    void multiply(CpuMatrix x, CpuMatrix y, boolean again) {
        require(x, y);
        if (roundsInputs()) {
            backend.multiplyRounded(weight, activations, x, y, again);
        } else if (x.rows() <= SMALL_ROWS) {
            backend.smallProduct().multiply(weight, x, y);
        } else {
            backend.multiplyMany(weight, panels, x, y, again);
        }
    }

    /// Whether its inputs are rounded, which other kernels than [SmallProduct] do.
    boolean roundsInputs() {
        return activations.kind() != ActivationScheme.Kind.NONE;
    }

    /// The weight, if it can multiply `x` into `y`.
    PackedWeight require(CpuMatrix x, CpuMatrix y) {
        requireOpen();
        if (x.columns() != weight.inputs || y.columns() != weight.outputs || x.rows() != y.rows()) {
            throw new IllegalArgumentException(
                    "multiply: " + x + " by a linear [" + weight.outputs + ", " + weight.inputs + "] into " + y);
        }
        return weight;
    }

    @Override
    public void gather(int[] indices, Matrix destination) {
        CpuMatrix out = CpuMatrix.of(destination);
        requireOpen();
        if (out.columns() != weight.inputs || indices.length < out.rows()) {
            throw new IllegalArgumentException("gather: " + indices.length + " rows of a linear [" + weight.outputs
                    + ", " + weight.inputs + "] into " + out);
        }
        for (int row = 0; row < out.rows(); row++) {
            Objects.checkIndex(indices[row], weight.outputs);
            gatherRow(indices[row], out.row(row));
        }
    }

    private void gatherRow(int output, long destination) {
        WeightForm form = weight.form;
        int strip = output / weight.lanes;
        long lane = (long) (output % weight.lanes) * Float.BYTES;
        for (int place = 0; place < weight.paddedInputs(); place++) {
            int column = weight.columns == null ? place : weight.columns[place];
            if (column < 0) {
                continue;
            }
            int word = Memory.getInt(WeightPacker.wordAddress(weight, output, place / form.fields));
            int field = place % form.fields;
            float value = switch (form) {
                case CODES4, CODES8 -> {
                    int group = place / weight.groupLength;
                    int code = Integer.rotateRight(word, form.shift() + field * form.bits) & (1 << form.bits) - 1;
                    long cell = (long) group * weight.vectorBytes() + lane;
                    long centre = (long) group * weight.centreStep() + lane;
                    yield (1 + code / form.span() - Memory.getFloat(weight.centres(strip) + centre))
                            * Memory.getFloat(weight.factors(strip) + cell);
                }
                case BFLOAT16 -> Float.intBitsToFloat(field == 0 ? word << 16 : word & 0xFFFF0000);
                case FLOAT32 -> Float.intBitsToFloat(word);
            };
            Memory.putFloat(destination + (long) column * Float.BYTES, value);
        }
    }

    private void requireOpen() {
        if (!weight.isOpen()) {
            throw new IllegalStateException("the memory of this linear has been freed");
        }
    }

    @Override
    public long bytes() {
        return weight.bytes();
    }

    @Override
    public void close() {
        weight.close();
    }
}
