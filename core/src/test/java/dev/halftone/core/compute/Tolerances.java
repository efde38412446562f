package dev.halftone.core.compute;

/// How far a backend may lie from [ReferenceBackend], which accumulates in double precision: every allowed error of the
/// contract, in one table. `u = 2⁻²⁴` is the rounding error of one float32 operation.
final class Tolerances {
    /// Rounding errors of a long sum behave like a random walk; six deviations leave no room for chance and none for a
    /// wrong term.
    private static final double DEVIATIONS = 6;

    private static final double ROUNDING = 0x1p-24;

    /// A bfloat16 has eight bits, so it is off by half of the eighth at most.
    private static final double BFLOAT16_ROUNDING = 0x1p-9;

    private Tolerances() {}

    /// A float32 sum of `terms` products whose absolute values add up to `magnitude`, in any order, with a bias added
    /// and
    /// one rounding for the operands.
    static double sum(int terms, double magnitude) {
        return DEVIATIONS * (Math.sqrt(terms) + 2) * ROUNDING * magnitude + Float.MIN_NORMAL;
    }

    /// An exact integer turned to float, multiplied by two scales and added to a bias: four roundings.
    static double scaled(double product, double bias) {
        return 4 * ROUNDING * (Math.abs(product) + Math.abs(bias)) + Float.MIN_NORMAL;
    }

    /// What rounding both factors of every product to bfloat16 adds to [#sum]. Of many such errors,
    /// of random sign, six deviations are allowed; of few, the worst case. How large they are is not
    /// left to chance, because codes with one scale are all rounded alike. The units that multiply
    /// bfloat16 take what lies below the normal range for zero.
    ///
    /// @param magnitude sum of the products' absolute values
    /// @param norm      root of the sum of their squares
    static double bFloat16(int terms, double magnitude, double norm) {
        double worst = (2 + BFLOAT16_ROUNDING) * BFLOAT16_ROUNDING * magnitude;
        double likely = DEVIATIONS * Math.sqrt(2) * BFLOAT16_ROUNDING * norm;
        return Math.min(worst, likely) + (double) terms * Float.MIN_NORMAL;
    }

    /// What rounding inputs to whole numbers of 16 bits, the largest of a group being two to the 14 at least, adds to
    /// [#sum]: errors of up to half of one, evenly spread.
    ///
    /// @param norm root of the sum of the squares of weights times the largest input of their group
    static double shorts(double norm) {
        return DEVIATIONS * 0x1p-15 / Math.sqrt(3) * norm;
    }

    /// A handful of float32 operations on one value, one of them an exponential within two units in the last place.
    static double elementwise(double value) {
        return 12 * ROUNDING * Math.abs(value) + Float.MIN_NORMAL;
    }

    /// An average of `keys` values not above `largest`, weighed by exponentials of scores whose terms add up to
    /// `scoreMagnitude`: an error of the score is a relative error of its weight.
    static double attention(int keys, int headSize, double scoreMagnitude, double largest) {
        return (sum(headSize, scoreMagnitude) * 2 + sum(keys, 2) + 16 * ROUNDING) * largest;
    }

    /// What rounding queries, keys, weights and values to bfloat16 adds to [#attention]: an error of the score is a
    /// relative error of its weight, which counts in sum and total; weight and value are off by half of a bit each.
    ///
    /// @param norm root of the sum of the squares of a score's terms, as to be expected; twice that is allowed
    static double bFloat16Attention(double norm, double largest) {
        double score = DEVIATIONS * Math.sqrt(2) * BFLOAT16_ROUNDING * 2 * norm;
        return (2 * score + 2 * BFLOAT16_ROUNDING) * largest;
    }

    /// A triangular factor of an inverse, of order `n` and with the given condition number, relative to its largest
    /// element.
    static double factor(int n, double condition, double largest) {
        return sum(n, condition) * largest;
    }
}
