package dev.halftone.runtime.cpu;

/// A bound weight as right-hand side: `x · Wᵀ`. Rows are in the weight's own order of columns.
final class RestoredPanels implements Panels {
    private final Kernels kernels;
    private final PackedWeight weight;

    RestoredPanels(Kernels kernels, PackedWeight weight) {
        this.kernels = kernels;
        this.weight = weight;
    }

    @Override
    public void fill(int strip, int first, int count, long destination) {
        int fields = weight.form.fields;
        assert first % fields == 0 && count % fields == 0;
        kernels.restore(weight, strip, first / fields, count / fields, destination);
    }
}
