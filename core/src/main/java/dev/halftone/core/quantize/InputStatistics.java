package dev.halftone.core.quantize;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Supplier;

/// What was seen at one input site of a block: the moments `H = mean(x·xᵀ)` over all tokens, `[width, width]`, and if
/// asked for some details of the single channels and tokens. First filled with [#add], then only read.
public final class InputStatistics implements AutoCloseable {
    /// What a method computes from the statistics alone, such as a factorisation.
    public interface Derived extends AutoCloseable {
        @Override
        void close();
    }

    private final Backend backend;
    private final Matrix moments;
    private final Map<Object, Derived> derived = new HashMap<>();
    private final ChannelDetails details; // null if none were asked for
    private long tokens;
    private boolean averaged;

    /// No token seen yet, for inputs of `width` columns.
    public InputStatistics(int width, Backend backend) {
        this(width, null, backend);
    }

    private InputStatistics(int width, ChannelDetails details, Backend backend) {
        this.backend = backend;
        this.details = details;
        moments = backend.allocate(width, width);
    }

    private InputStatistics(Matrix moments, long tokens, Backend backend) {
        this.backend = backend;
        this.details = null;
        this.moments = moments;
        this.tokens = tokens;
        averaged = true;
    }

    /// No token seen yet; will also know [#details].
    ///
    /// @param expectedTokens that will be added, for an even choice of the sample
    public static InputStatistics withDetails(int width, long expectedTokens, Backend backend) {
        return new InputStatistics(width, new ChannelDetails(width, expectedTokens), backend);
    }

    /// Statistics already averaged over `tokens` tokens; takes `moments` over.
    public static InputStatistics ofMoments(Matrix moments, long tokens, Backend backend) {
        if (moments.rows() != moments.columns() || tokens < 1) {
            throw new IllegalArgumentException(
                    "moments [" + moments.rows() + ", " + moments.columns() + "] of " + tokens + " tokens");
        }
        return new InputStatistics(moments, tokens, backend);
    }

    /// Accumulates the rows of `x` `[n, width]`, one token each.
    public void add(Matrix x) {
        if (averaged) {
            throw new IllegalStateException("the moments have been read already");
        }
        backend.addGram(x, moments);
        if (details != null) {
            details.add(x, backend);
        }
        tokens += x.rows();
    }

    /// Columns of the inputs.
    public int width() {
        return moments.columns();
    }

    /// Rows accumulated.
    public long tokens() {
        return tokens;
    }

    /// What the single channels and tokens were like.
    ///
    /// @throws IllegalStateException if these statistics were made without
    public ChannelDetails details() {
        if (details == null) {
            throw new IllegalStateException("no details were asked for");
        }
        return details;
    }

    /// Makes these the statistics of inputs divided by `divisors` `[width]`. What was derived before is dropped.
    void divide(float[] divisors) {
        derived.values().forEach(Derived::close);
        derived.clear();
        Matrix all = moments();
        float[] row = new float[width()];
        for (int i = 0; i < row.length; i++) {
            Matrix part = all.rows(i, 1);
            backend.copyOut(part, row, 0);
            for (int j = 0; j < row.length; j++) {
                row[j] = (float) (row[j] / ((double) divisors[i] * divisors[j]));
            }
            backend.copyIn(row, 0, part);
        }
        if (details != null) {
            details.divide(divisors);
        }
    }

    /// `mean(x·xᵀ)`, symmetric, undamped; owned by this object and not to be written.
    ///
    /// @throws IllegalStateException if no token was added
    public Matrix moments() {
        if (tokens == 0) {
            throw new IllegalStateException("no token was added");
        }
        if (!averaged) {
            averaged = true;
            float[] row = new float[width()];
            for (int i = 0; i < width(); i++) {
                Matrix part = moments.rows(i, 1);
                backend.copyOut(part, row, 0);
                for (int j = 0; j < row.length; j++) {
                    row[j] = (float) (row[j] / (double) tokens);
                }
                backend.copyIn(row, 0, part);
            }
        }
        return moments;
    }

    /// The value stored under `key`, computed on first use and closed with these statistics. Linears that share an
    /// input share it: q, k and v need one factorisation, not three.
    public <T extends Derived> T derived(Object key, Class<T> type, Supplier<T> computation) {
        Derived value = derived.get(key);
        if (value == null) {
            value = computation.get();
            derived.put(key, value);
        }
        return type.cast(value);
    }

    @Override
    public void close() {
        derived.values().forEach(Derived::close);
        derived.clear();
        moments.close();
    }
}
