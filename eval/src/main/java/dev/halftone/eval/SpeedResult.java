package dev.halftone.eval;

import java.util.List;
import java.util.function.ToDoubleFunction;

/// What came of a [SpeedTest].
///
/// @param samples the repetitions that count
/// @param warmUps repetitions before them
/// @param steady  whether the last warm-ups were no longer getting faster
public record SpeedResult(SpeedTest test, List<SpeedSample> samples, int warmUps, boolean steady) {
    public SpeedResult {
        samples = List.copyOf(samples);
        if (samples.isEmpty()) {
            throw new IllegalArgumentException("no repetition of " + test.name());
        }
    }

    private Mean over(ToDoubleFunction<SpeedSample> value) {
        Mean mean = new Mean();
        samples.forEach(sample -> mean.add(value.applyAsDouble(sample)));
        return mean;
    }

    /// Tokens of prompts and answers per second, mean of the repetitions.
    public double tokensPerSecond() {
        return over(this::tokensPerSecond).mean();
    }

    /// Standard deviation of [#tokensPerSecond].
    public double deviation() {
        return over(this::tokensPerSecond).deviation();
    }

    public double tokensPerSecond(SpeedSample sample) {
        return test.tokens() / sample.seconds();
    }

    /// Mean seconds until the first token; 0 without prompts.
    public double firstToken() {
        return over(SpeedSample::firstToken).mean();
    }

    /// Mean seconds of one step of generation; 0 without any.
    public double step() {
        return test.generate() == 0 ? 0 : over(SpeedSample::generation).mean() / test.generate();
    }
}
