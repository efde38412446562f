package dev.halftone.core.quantize;

import dev.halftone.core.compute.AttentionShape;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.KvCache;
import dev.halftone.core.compute.Linear;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.DenseWeight;
import dev.halftone.core.weight.QuantizationScheme;
import java.lang.foreign.Arena;
import java.util.SplittableRandom;

/// How long a run will take, in seconds by purpose: the operations that its plan counts, at the speeds that this
/// machine shows on small pieces of the same work, now and with whatever else it is doing.
///
/// @param forward pass of the calibration windows
/// @param moments of their inputs
/// @param codes   that the method has to find
/// @param bytes   that are read, hashed and compared
public record TimeEstimate(double forward, double moments, double codes, double bytes) {
    /// Rows, and at most columns, of a piece: enough to keep the kernels as busy as the real work does.
    private static final int ROWS = 512;

    /// Of a piece of the forward pass, unless its batches are smaller.
    private static final int MOST_ROWS = 2048;

    /// What norms, activations and copies take beside linears and attention.
    private static final double BESIDE = 1.2;

    private static final int COLUMNS = 1024;

    /// Not large, since a method has much code to be compiled before it shows its speed.
    private static final int CODED_ROWS = 384;

    private static final int CODED_COLUMNS = 384;

    /// Products of a weight with its moments or their factor that a method with feedback makes: it solves, measures
    /// what came of it, and refines.
    private static final int PRODUCTS = 3;

    private static final int HASHED = 4 << 20;
    private static final int PIECES = 64;
    private static final int LEAST = 5;
    private static final double SHORTEST = 0.1;
    private static final double LONGEST = 3;

    /// Share of the estimate that may be spent waiting for a piece to get any faster.
    private static final double PATIENCE = 0.005;

    public double total() {
        return forward + moments + codes + bytes;
    }

    /// Measures for some tenths of a second, or where the run will be long for some seconds.
    public static TimeEstimate of(QuantizationPlan plan, Backend backend) {
        Work work = Work.of(plan);
        double hashes = seconds(work.alone(), HASHED, () -> hash(0, PIECES))
                + seconds(work.together(), HASHED, () -> backend.forRanges(PIECES, TimeEstimate::hash));
        if (plan.calibration() == null) {
            return new TimeEstimate(0, 0, codes(work, plan, backend), hashes);
        }
        int columns = columns(plan, COLUMNS);
        int rows = Math.min(
                MOST_ROWS,
                CalibrationScratch.windowsAtOnce(plan.calibration())
                        * plan.calibration().length());
        try (Arena arena = Arena.ofShared();
                Matrix x = random(rows, columns, backend);
                Matrix y = backend.allocate(rows, columns);
                Matrix gram = random(columns, columns, backend);
                Linear linear = backend.bind(weight(columns, columns, DType.BF16, arena), null)) {
            double unit = (double) columns * columns;
            double linears = seconds(work.linears(), 2 * rows * unit, () -> linear.multiply(x, y));
            int solved = Math.min(rows, ROWS);
            Matrix few = x.rows(0, solved);
            return new TimeEstimate(
                    BESIDE * (linears + attention(work, plan, backend)),
                    seconds(work.moments(), solved * unit, () -> backend.addGram(few, gram)),
                    seconds(
                                    work.solving(),
                                    2 * solved * unit,
                                    () -> backend.subtractProduct(few, gram, y.rows(0, solved)))
                            + codes(work, plan, backend),
                    hashes);
        }
    }

    /// Seconds for the attention of all windows, by that of one, or of its beginning.
    private static double attention(Work work, QuantizationPlan plan, Backend backend) {
        AttentionShape shape = plan.config().attention(0);
        int tokens = Math.min(MOST_ROWS, plan.calibration().length());
        try (Matrix queries = random(tokens, shape.queryColumns(), backend);
                Matrix keys = random(tokens, shape.kvColumns(), backend);
                Matrix values = random(tokens, shape.kvColumns(), backend);
                Matrix result = backend.allocate(tokens, shape.queryColumns());
                KvCache cache = backend.allocateCache(1, 1, tokens, shape, DType.F32)) {
            Batch batch = Batch.single(0, tokens);
            return seconds(
                    work.attention(),
                    2.0 * tokens * tokens * shape.queryColumns(),
                    () -> backend.attention(queries, keys, values, shape, batch, cache, 0, result));
        }
    }

    /// A width that the scheme's groups divide.
    private static int columns(QuantizationPlan plan, int limit) {
        int groupSize = plan.recipe().scheme().groupSize();
        int most = Math.min(plan.config().hidden(), limit);
        return groupSize == QuantizationScheme.PER_CHANNEL ? most : Math.max(most / groupSize, 1) * groupSize;
    }

    /// Seconds to find all codes, but for the products in it.
    private static double codes(Work work, QuantizationPlan plan, Backend backend) {
        Recipe recipe = plan.recipe();
        double seconds = codes(work.weights(), recipe.quantizer(), recipe.scheme(), plan, backend);
        return seconds
                + plan.tables().stream()
                        .mapToDouble(
                                table -> codes(table.parameters(), new RoundToNearest(), table.scheme(), plan, backend))
                        .sum();
    }

    /// Of the method itself, on a piece so narrow that the products in it hardly count.
    private static double codes(
            double weights,
            WeightQuantizer quantizer,
            QuantizationScheme scheme,
            QuantizationPlan plan,
            Backend backend) {
        int columns = columns(plan, CODED_COLUMNS);
        try (Arena arena = Arena.ofShared();
                Matrix x = random(ROWS, columns, backend)) {
            DenseWeight weight = weight(CODED_ROWS, columns, DType.F32, arena);
            return seconds(weights, (double) CODED_ROWS * columns, () -> {
                if (!quantizer.needsMoments()) {
                    quantizer.quantize("probe", weight, scheme, null, backend);
                    return;
                }
                boolean twin = plan.recipe().needsFloatTwin();
                try (InputStatistics statistics = twin
                        ? InputStatistics.withFloatInputs(columns, backend)
                        : new InputStatistics(columns, backend)) {
                    if (twin) {
                        statistics.add(x, x);
                    } else {
                        statistics.add(x);
                    }
                    quantizer.quantize("probe", weight, scheme, statistics, backend);
                }
            });
        }
    }

    private static void hash(int from, int to) {
        byte[] bytes = new byte[HASHED / PIECES];
        for (int i = from; i < to; i++) {
            byte[] unused = new Sha256().add(bytes).bytes();
            assert unused.length > 0;
        }
    }

    /// How long `all` units of work take, by the fastest of as many repetitions of a piece as it takes until none gets
    /// faster any more: the first ones are slow, since their code is not compiled yet.
    private static double seconds(double all, double units, Runnable piece) {
        double best = Double.POSITIVE_INFINITY;
        long begin = System.nanoTime();
        double now = 0;
        double improved = 0;
        for (int i = 0;
                i < LEAST || now < SHORTEST || now < LONGEST && now - improved < PATIENCE * all * best / units;
                i++) {
            double before = now;
            piece.run();
            now = (System.nanoTime() - begin) / 1e9;
            if (now - before < 0.95 * best) {
                improved = now;
            }
            best = Math.min(best, now - before);
        }
        return best * all / units;
    }

    private static Matrix random(int rows, int columns, Backend backend) {
        SplittableRandom random = new SplittableRandom(1);
        float[] values = new float[rows * columns];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextDouble(-1, 1);
        }
        Matrix matrix = backend.allocate(rows, columns);
        backend.copyIn(values, 0, matrix);
        return matrix;
    }

    private static DenseWeight weight(int outputs, int inputs, DType type, Arena arena) {
        SplittableRandom random = new SplittableRandom(2);
        float[] values = new float[outputs * inputs];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextDouble(-1, 1);
        }
        return new DenseWeight(Tensor.rounded("probe", type, Shape.of(outputs, inputs), values, arena));
    }

    /// What a plan has to do.
    ///
    /// @param linears   floating-point operations of the linears
    /// @param attention floating-point operations of attention
    /// @param moments   products of two inputs, half of which symmetry saves
    /// @param solving   floating-point operations of the method's products, where it has some
    /// @param weights   of the blocks that get a code
    /// @param tables    weights of head and embeddings that get one
    /// @param together  bytes hashed by all threads: the source, and what the output restores to
    /// @param alone     bytes hashed by one thread: what is written restores to
    record Work(
            double linears,
            double attention,
            double moments,
            double solving,
            double weights,
            double tables,
            double together,
            double alone) {
        static Work of(QuantizationPlan plan) {
            double solving = 0;
            double tables =
                    plan.tables().stream().mapToLong(LinearTask::parameters).sum();
            double weights = plan.quantizedParameters() - tables;
            if (plan.recipe().quantizer().needsMoments()) {
                for (LinearTask linear : plan.ofBlocks()) {
                    boolean first =
                            linear.linear().equals(linear.site().linears().getFirst());
                    double inputs = linear.inputs();
                    // The first of the linears that share an input pays for the factor of its moments.
                    double factor = first ? 4.0 / 3 * inputs : 0;
                    solving += 2 * PRODUCTS * inputs * inputs * (linear.outputs() + factor);
                }
            }
            double linears = 0;
            double attention = 0;
            double moments = 0;
            if (plan.calibration() != null) {
                double tokens = plan.calibration().tokens();
                int layers = plan.config().layers();
                boolean twin = plan.recipe().needsFloatTwin();
                // The transforms look at some of the windows, once more.
                double looks = plan.recipe().transforms().isEmpty()
                        ? 0
                        : FoldSearch.probed(plan.calibration()).tokens() / tokens;
                double passes = 1 + (twin ? 1 : 0) + looks;
                linears = 2 * tokens * weights * passes;
                // Scores and their sums over the keys before a token, half of the window on average.
                double queries = (double) plan.config().heads() * plan.config().headSize();
                attention = 2 * tokens * plan.calibration().length() * queries * layers * passes;
                for (InputSite site : InputSite.values()) {
                    int width = site.width(plan.config());
                    double counting = TokenSample.of(width, plan.calibration()).of(tokens);
                    double shown = plan.recipe().quantizer().needsMoments() ? counting : 0;
                    moments += (double) layers * width * width * (shown + tokens * looks);
                    if (twin) {
                        // Float inputs, or what is meant, times these inputs have no symmetry.
                        double others =
                                plan.recipe().meansOutputs(site) ? plan.config().hidden() : width;
                        moments += 2 * layers * counting * width * others;
                    }
                }
            }
            double restored = (double) Float.BYTES * plan.quantizedParameters();
            return new Work(
                    linears, attention, moments, solving, weights, tables, plan.sourceBytes() + restored, restored);
        }
    }
}
