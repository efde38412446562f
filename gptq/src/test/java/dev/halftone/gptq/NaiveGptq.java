package dev.halftone.gptq;

import dev.halftone.core.weight.AffineGrid;
import dev.halftone.core.weight.QuantizationScheme;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/// GPTQ without blocks, in double precision: one column, then all columns behind it. Instead of a factor of the inverse
/// it eliminates the finished column from the inverse itself, as in the paper's derivation (equation 3).
final class NaiveGptq {
    final byte[] codes;
    final float[] scales;
    /// How far, in steps of the grid, the nearest decision was from a tie.
    double margin = Double.MAX_VALUE;

    private final double[][] live;
    private final QuantizationScheme scheme;
    private final int groupLength;
    private final AffineGrid[] grids;
    private final int groups;

    NaiveGptq(float[] weight, float[] moments, int inputs, QuantizationScheme scheme, GptqOptions options) {
        int outputs = weight.length / inputs;
        this.scheme = scheme;
        groupLength = scheme.groupLength(inputs);
        groups = scheme.groups(inputs);
        codes = new byte[weight.length];
        scales = new float[outputs * groups];
        grids = new AffineGrid[outputs * groups];
        live = new double[outputs][inputs];
        double[][] inverse = new double[inputs][inputs];
        double mean = 0;
        for (int i = 0; i < inputs; i++) {
            mean += moments[i * inputs + i] / (double) inputs;
        }
        for (int i = 0; i < weight.length; i++) {
            live[i / inputs][i % inputs] = weight[i];
        }
        for (int i = 0; i < moments.length; i++) {
            inverse[i / inputs][i % inputs] = moments[i] + (i / inputs == i % inputs ? options.damping() * mean : 0);
        }
        invert(inverse);
        boolean fixed = options.order() == ColumnOrder.ACTIVATION;
        for (int group = 0; fixed && group < groups; group++) {
            measure(group);
        }
        List<Integer> reached = new ArrayList<>();
        for (int column : order(moments, inputs, options.order())) {
            int group = column / groupLength;
            if (!fixed && !reached.contains(group)) {
                reached.add(group);
                measure(group);
            }
            round(column, inverse);
            eliminate(inverse, column);
        }
        for (int cell = 0; cell < grids.length; cell++) {
            scales[cell] = grids[cell].scale();
        }
    }

    private List<Integer> order(float[] moments, int inputs, ColumnOrder order) {
        Comparator<Integer> falling = Comparator.comparing(i -> -moments[i * inputs + i]);
        Comparator<Integer> byGroup = Comparator.comparing(i -> {
            int first = i / groupLength * groupLength;
            return -IntStream.range(first, first + groupLength)
                    .mapToDouble(j -> moments[j * inputs + j])
                    .max()
                    .orElseThrow();
        });
        List<Integer> columns = IntStream.range(0, inputs).boxed().toList();
        return switch (order) {
            case NATURAL -> columns;
            case ACTIVATION -> columns.stream().sorted(falling).toList();
            case GROUP_AWARE ->
                columns.stream().sorted(byGroup.thenComparing(falling)).toList();
        };
    }

    private void measure(int group) {
        for (int row = 0; row < live.length; row++) {
            float low = 0;
            float high = 0;
            for (int i = group * groupLength; i < (group + 1) * groupLength; i++) {
                low = (float) Math.min(low, live[row][i]);
                high = (float) Math.max(high, live[row][i]);
            }
            grids[row * groups + group] = AffineGrid.ofRange(low, high, scheme);
        }
    }

    private void round(int column, double[][] inverse) {
        for (int row = 0; row < live.length; row++) {
            AffineGrid grid = grids[row * groups + column / groupLength];
            double position = live[row][column] / grid.scale() + grid.zero();
            if (position > 0 && position < grid.maximum()) {
                margin = Math.min(margin, Math.abs(position - Math.floor(position) - 0.5));
            }
            int code = grid.code((float) live[row][column]);
            codes[row * inverse.length + column] = (byte) code;
            double error = (live[row][column] - grid.restore(code)) / inverse[column][column];
            for (int i = 0; i < inverse.length; i++) {
                live[row][i] -= error * inverse[column][i];
            }
        }
    }

    /// Takes `column` out of the problem: its row and column of the inverse become zero.
    private static void eliminate(double[][] inverse, int column) {
        double[] pivot = inverse[column].clone();
        for (int i = 0; i < inverse.length; i++) {
            double factor = inverse[i][column] / pivot[column];
            for (int j = 0; j < inverse.length; j++) {
                inverse[i][j] -= factor * pivot[j];
            }
        }
    }

    /// Gauss-Jordan in place; fine without pivoting for a positive definite matrix.
    private static void invert(double[][] a) {
        for (int k = 0; k < a.length; k++) {
            double pivot = 1 / a[k][k];
            a[k][k] = 1;
            for (int j = 0; j < a.length; j++) {
                a[k][j] *= pivot;
            }
            for (int i = 0; i < a.length; i++) {
                if (i != k) {
                    double factor = a[i][k];
                    a[i][k] = 0;
                    for (int j = 0; j < a.length; j++) {
                        a[i][j] -= factor * a[k][j];
                    }
                }
            }
        }
    }
}
