package dev.halftone.gptq;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.compute.NotPositiveDefiniteException;
import dev.halftone.core.quantize.DampingAttempt;
import dev.halftone.core.quantize.InputStatistics;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/// All that GPTQ derives from the moments alone, shared by the linears that share an input: the order of the columns,
/// which of them are dead, and `U` with `(P·H·Pᵀ + damping)⁻¹ = Uᵀ·U`, `P` being the order.
final class InverseFactor implements InputStatistics.Derived {
    /// Rows of the moments that are reordered at a time.
    private static final int ROWS = 64;

    private final Matrix upper;
    private final int[] order;
    private final boolean[] dead;
    private final double added;
    private final List<DampingAttempt> attempts;

    private InverseFactor(Matrix upper, int[] order, boolean[] dead, double added, List<DampingAttempt> attempts) {
        this.upper = upper;
        this.order = order;
        this.dead = dead;
        this.added = added;
        this.attempts = attempts;
    }

    /// Factors `moments`, with more damping if it must be.
    ///
    /// @param linear      for messages
    /// @param groupLength columns of one group
    /// @throws IndefiniteMomentsException if no damping up to the mean diagonal itself suffices
    static InverseFactor of(String linear, Matrix moments, int groupLength, GptqOptions options, Backend backend) {
        int inputs = moments.columns();
        float[] diagonal = diagonal(moments, backend);
        boolean[] dead = new boolean[inputs];
        double mean = 0;
        for (int i = 0; i < inputs; i++) {
            if (!Float.isFinite(diagonal[i]) || diagonal[i] < 0) {
                throw new HalftoneException(
                        HalftoneException.Kind.NUMERICS,
                        "the inputs of '" + linear + "' are not finite",
                        "mean square of input " + i + " is " + diagonal[i],
                        "check the weights before this layer, and the calibration text");
            }
            if (diagonal[i] == 0) {
                // Never active: nothing can be learnt about its weights, and the factor needs a positive pivot.
                dead[i] = true;
                diagonal[i] = 1;
            }
            mean += diagonal[i] / (double) inputs;
        }
        int[] order = order(diagonal, groupLength, options.order());
        List<DampingAttempt> attempts = new ArrayList<>();
        Matrix upper = backend.allocate(inputs, inputs);
        for (double damping = options.damping(); ; damping = Math.min(1, 2 * damping)) {
            double added = damping * mean;
            fill(upper, moments, order, diagonal, added, backend);
            try {
                backend.invertToUpperFactor(upper);
                attempts.add(new DampingAttempt(damping, null));
                return new InverseFactor(upper, order, dead, added, List.copyOf(attempts));
            } catch (NotPositiveDefiniteException e) {
                attempts.add(new DampingAttempt(damping, e.getMessage()));
            }
            if (damping == 1) {
                upper.close();
                throw new IndefiniteMomentsException(linear, attempts);
            }
        }
    }

    private static float[] diagonal(Matrix moments, Backend backend) {
        float[] diagonal = new float[moments.columns()];
        for (int i = 0; i < diagonal.length; i++) {
            backend.copyOut(moments.view(i, 1, i, 1), diagonal, i);
        }
        return diagonal;
    }

    /// Column handled at each step. Equal moments keep the original order.
    private static int[] order(float[] diagonal, int groupLength, ColumnOrder order) {
        Comparator<Integer> falling = Comparator.comparing(column -> -diagonal[column]);
        IntStream columns = IntStream.range(0, diagonal.length);
        return switch (order) {
            case NATURAL -> columns.toArray();
            case ACTIVATION ->
                columns.boxed().sorted(falling).mapToInt(Integer::intValue).toArray();
            case GROUP_AWARE -> {
                int groups = diagonal.length / groupLength;
                float[] largest = new float[groups];
                columns.forEach(i -> largest[i / groupLength] = Math.max(largest[i / groupLength], diagonal[i]));
                yield IntStream.range(0, groups)
                        .boxed()
                        .sorted(Comparator.comparing(group -> -largest[group]))
                        .flatMap(group -> IntStream.range(group * groupLength, (group + 1) * groupLength)
                                .boxed()
                                .sorted(falling))
                        .mapToInt(Integer::intValue)
                        .toArray();
            }
        };
    }

    /// `destination = moments` with rows and columns in `order`, `diagonal` on the diagonal and `added` on top of it.
    private static void fill(
            Matrix destination, Matrix moments, int[] order, float[] diagonal, double added, Backend backend) {
        int inputs = order.length;
        float[] source = new float[ROWS * inputs];
        float[] permuted = new float[ROWS * inputs];
        try (Matrix gathered = backend.allocate(Math.min(ROWS, inputs), inputs)) {
            for (int first = 0; first < inputs; first += ROWS) {
                int count = Math.min(ROWS, inputs - first);
                Matrix rows = gathered.rows(0, count);
                backend.gatherRows(moments, Arrays.copyOfRange(order, first, first + count), rows);
                backend.copyOut(rows, source, 0);
                for (int row = 0; row < count; row++) {
                    for (int i = 0; i < inputs; i++) {
                        permuted[row * inputs + i] = source[row * inputs + order[i]];
                    }
                    permuted[row * inputs + first + row] = (float) (diagonal[order[first + row]] + added);
                }
                backend.copyIn(permuted, 0, destination.rows(first, count));
            }
        }
    }

    /// `U` `[inputs, inputs]`, rows and columns in [#order].
    Matrix upper() {
        return upper;
    }

    /// `[inputs]`: the original column at each step.
    int[] order() {
        return order;
    }

    /// `[inputs]`, in original order: columns whose input was always zero.
    boolean[] dead() {
        return dead;
    }

    /// What was added to every element of the diagonal.
    double added() {
        return added;
    }

    /// Every damping tried; the last one succeeded.
    List<DampingAttempt> attempts() {
        return attempts;
    }

    @Override
    public void close() {
        upper.close();
    }
}
