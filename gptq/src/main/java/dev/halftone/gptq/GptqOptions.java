package dev.halftone.gptq;

/// Settings of GPTQ besides the scheme.
///
/// @param damping share of the mean diagonal that is added to the diagonal of the moments, in (0, 1]; doubled up to 1
///                if the factorisation fails
/// @param order   of the columns
/// @param grid    how the grid of a group is chosen
/// @param sweeps  of [CodeDescent] over the finished codes; 0 leaves them as the solver chose them
/// @param target  what the outputs should come near to
public record GptqOptions(double damping, ColumnOrder order, GridRule grid, int sweeps, Target target) {
    /// Half of the mean diagonal as damping, group-aware order, grids chosen by output error, four sweeps, the
    /// float model's hidden states.
    ///
    /// So much damping because a calibration text is never all that a model will read: with a hundredth, as is
    /// usual, the moments of a narrow text are taken at their word, and other text fares no better than by plain
    /// rounding.
    public static final GptqOptions DEFAULT =
            new GptqOptions(0.5, ColumnOrder.GROUP_AWARE, GridRule.OUTPUT_ERROR, 4, Target.FLOAT_STATES);

    /// The solver alone, as the paper has it.
    public GptqOptions(double damping, ColumnOrder order, GridRule grid) {
        this(damping, order, grid, 0, Target.SAME_INPUTS);
    }

    public GptqOptions {
        if (!(damping > 0 && damping <= 1)) {
            throw new IllegalArgumentException("damping must be above 0 and at most 1, found " + damping);
        }
        if (sweeps < 0) {
            throw new IllegalArgumentException("sweeps must not be negative, found " + sweeps);
        }
    }

    public GptqOptions withDamping(double newDamping) {
        return new GptqOptions(newDamping, order, grid, sweeps, target);
    }

    public GptqOptions withOrder(ColumnOrder newOrder) {
        return new GptqOptions(damping, newOrder, grid, sweeps, target);
    }

    public GptqOptions withGrid(GridRule newGrid) {
        return new GptqOptions(damping, order, newGrid, sweeps, target);
    }

    public GptqOptions withSweeps(int newSweeps) {
        return new GptqOptions(damping, order, grid, newSweeps, target);
    }

    public GptqOptions withTarget(Target newTarget) {
        return new GptqOptions(damping, order, grid, sweeps, newTarget);
    }
}
