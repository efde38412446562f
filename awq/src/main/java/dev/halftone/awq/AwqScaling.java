package dev.halftone.awq;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.quantize.BlockTransform;
import dev.halftone.core.quantize.Fold;
import dev.halftone.core.quantize.InputStatistics;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.core.weight.Weight;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/// Protects the channels that matter from rounding ([AWQ](https://arxiv.org/abs/2306.00978), section 3.2): where
/// inputs are large they are divided and their weights multiplied by the same, so that the error of rounding these
/// weights, which hardly grows with them, is divided at the outputs.
///
/// How much, a search decides for each site: of the candidates of [Divisors], the one whose plain rounding costs
/// least at the outputs of the linears that read the site, see [RoundingCost]. The paper's code runs the whole
/// attention or MLP for each candidate and compares what they put out. Here the linears alone are looked at, which
/// their moments allow without running anything: all tokens are counted, at the price of a few hundred.
///
/// Where several query heads read one key/value head, a channel of it gets one divisor from the mean over these
/// heads; the paper's code leaves such a site alone.
public final class AwqScaling implements BlockTransform {
    @Override
    public String name() {
        return "awq";
    }

    @Override
    public SortedMap<String, Object> settings() {
        SortedMap<String, Object> settings = new TreeMap<>();
        settings.put("duo_scaling", "both");
        settings.put("n_grid", Divisors.STEPS);
        return settings;
    }

    /// @throws HalftoneException of kind NUMERICS if inputs or weights are so large that no error can be told
    @Override
    public float[] divisors(
            Fold fold, List<Weight> weights, InputStatistics seen, QuantizationScheme scheme, Backend backend) {
        WeightRows rows = WeightRows.of(weights);
        RoundingCost cost = new RoundingCost(rows, seen.moments(), scheme, backend);
        double unscaled = cost.of(null);
        if (!Double.isFinite(unscaled)) {
            throw new HalftoneException(
                    HalftoneException.Kind.NUMERICS,
                    "what rounding " + String.join(", ", fold.site().linears()) + " costs cannot be told",
                    "the squared error of the outputs comes to " + unscaled,
                    "check the weights before these linears, and the calibration text");
        }
        float[] activity = activity(fold, seen.moments(), backend);
        float[] shares = fold.gather(rows.shares(scheme));
        Choice byBoth = best(fold, activity, shares, cost);
        Choice byActivity = best(fold, activity, null, cost);
        Choice chosen = byBoth.cost < byActivity.cost ? byBoth : byActivity;
        return chosen.cost < unscaled ? chosen.divisors : null;
    }

    /// `[producers]`: root mean square of each channel of the inputs. The paper takes the mean magnitude; the root of
    /// the moments' diagonal did better.
    private static float[] activity(Fold fold, Matrix moments, Backend backend) {
        float[] squares = new float[moments.columns()];
        for (int i = 0; i < squares.length; i++) {
            backend.copyOut(moments.view(i, 1, i, 1), squares, i);
        }
        float[] activity = fold.gather(squares);
        for (int i = 0; i < activity.length; i++) {
            activity[i] = (float) Math.sqrt(activity[i]);
        }
        return activity;
    }

    /// Divisors `[producers]` and what they cost; infinitely much if there are none.
    private record Choice(float[] divisors, double cost) {}

    /// Tries growing exponents until some in a row have brought nothing.
    private static Choice best(Fold fold, float[] activity, float[] shares, RoundingCost cost) {
        Choice best = new Choice(null, Double.POSITIVE_INFINITY);
        int inVain = 0;
        for (int step = 0; step < Divisors.STEPS && inVain < Divisors.PATIENCE; step++) {
            float[] divisors = Divisors.candidate(activity, shares, step);
            double found = divisors == null ? Double.NaN : cost.of(fold.spread(divisors));
            inVain++;
            // No comparison with NaN holds.
            if (found < best.cost) {
                best = new Choice(divisors, found);
                inVain = 0;
            }
        }
        return best;
    }
}
