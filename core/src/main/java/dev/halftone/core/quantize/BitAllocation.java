package dev.halftone.core.quantize;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;

/// Divides a budget of stored bits among parts of a model, each of which may be stored in several ways. Harms are taken
/// to add up, as small divergences nearly do.
///
/// Every part begins with its smallest way. Then, again and again, the part moves to a larger one where a bit buys the
/// most and fits. Only ways on the lower convex hull of harm over bits are ever taken, so that the result does at most
/// the harm of one step more than the best there is.
public final class BitAllocation {
    /// One way to store a part.
    ///
    /// @param bits stored, scales and zeros included
    /// @param harm that it does, not negative
    public record Way(long bits, double harm) {
        public Way {
            if (bits < 1 || !(harm >= 0)) {
                throw new IllegalArgumentException(bits + " bits at a harm of " + harm);
            }
        }
    }

    private BitAllocation() {}

    /// Chooses one way for each part.
    ///
    /// @param parts  ways of each part, at least one
    /// @param budget bits for all of them
    /// @return for each part the index of its way
    /// @throws HalftoneException of kind USAGE if even the smallest ways need more
    public static int[] choose(List<List<Way>> parts, long budget) {
        List<List<Integer>> hulls = new ArrayList<>();
        int[] steps = new int[parts.size()]; // place on the hull
        long used = 0;
        for (List<Way> ways : parts) {
            List<Integer> hull = hull(ways);
            hulls.add(hull);
            used += ways.get(hull.getFirst()).bits();
        }
        if (used > budget) {
            throw new HalftoneException(
                    Kind.USAGE,
                    "the size asked for cannot be met",
                    String.format(Locale.ROOT, "the smallest choice needs %d bits, the budget has %d", used, budget),
                    String.format(Locale.ROOT, "at least %.3f times as much", (double) used / budget));
        }
        while (true) {
            int best = -1;
            double most = 0;
            for (int part = 0; part < steps.length; part++) {
                List<Integer> hull = hulls.get(part);
                if (steps[part] + 1 < hull.size()) {
                    Way now = parts.get(part).get(hull.get(steps[part]));
                    Way next = parts.get(part).get(hull.get(steps[part] + 1));
                    double gain = (now.harm() - next.harm()) / (next.bits() - now.bits());
                    if (used + next.bits() - now.bits() <= budget && gain > most) {
                        most = gain;
                        best = part;
                    }
                }
            }
            if (best < 0) {
                break;
            }
            List<Integer> hull = hulls.get(best);
            used += parts.get(best).get(hull.get(steps[best] + 1)).bits()
                    - parts.get(best).get(hull.get(steps[best])).bits();
            steps[best]++;
        }
        int[] chosen = new int[steps.length];
        for (int part = 0; part < chosen.length; part++) {
            chosen[part] = hulls.get(part).get(steps[part]);
        }
        return chosen;
    }

    /// Indices of the ways on the lower convex hull, from few bits to many, harm falling at a falling rate.
    private static List<Integer> hull(List<Way> ways) {
        List<Integer> order = new ArrayList<>();
        for (int i = 0; i < ways.size(); i++) {
            order.add(i);
        }
        order.sort(Comparator.<Integer>comparingLong(i -> ways.get(i).bits())
                .thenComparingDouble(i -> ways.get(i).harm()));
        List<Integer> hull = new ArrayList<>();
        for (int index : order) {
            Way way = ways.get(index);
            if (!hull.isEmpty() && way.harm() >= ways.get(hull.getLast()).harm()) {
                continue;
            }
            while (hull.size() >= 2
                    && rate(ways.get(hull.get(hull.size() - 2)), ways.get(hull.getLast()))
                            <= rate(ways.get(hull.getLast()), way)) {
                hull.removeLast();
            }
            hull.add(index);
        }
        return hull;
    }

    private static double rate(Way from, Way to) {
        return (from.harm() - to.harm()) / (to.bits() - from.bits());
    }
}
