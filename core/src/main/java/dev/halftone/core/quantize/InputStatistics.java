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
    private final Matrix drift; // [width, width]; null if no float inputs are shown
    private final Matrix outputMoments; // [outputs, width]; null if no outputs are meant
    private final ChannelDetails details; // null if none were asked for
    private long tokens;
    private boolean averaged;
    private boolean driftDone;

    /// No token seen yet, for inputs of `width` columns.
    public InputStatistics(int width, Backend backend) {
        this(width, null, null, null, backend);
    }

    private InputStatistics(int width, ChannelDetails details, Matrix drift, Matrix outputMoments, Backend backend) {
        this.backend = backend;
        this.details = details;
        this.drift = drift;
        this.outputMoments = outputMoments;
        moments = backend.allocate(width, width);
    }

    private InputStatistics(Matrix moments, long tokens, Backend backend) {
        this.backend = backend;
        this.details = null;
        this.drift = null;
        this.outputMoments = null;
        this.moments = moments;
        this.tokens = tokens;
        averaged = true;
    }

    /// No token seen yet; will also know [#details].
    ///
    /// @param expectedTokens that will be added, for an even choice of the sample
    public static InputStatistics withDetails(int width, long expectedTokens, Backend backend) {
        return new InputStatistics(width, new ChannelDetails(width, expectedTokens), null, null, backend);
    }

    /// No token seen yet; will also know [#drift].
    public static InputStatistics withFloatInputs(int width, Backend backend) {
        return new InputStatistics(width, null, backend.allocate(width, width), null, backend);
    }

    /// No token seen yet; will also know [#outputMoments] of the one linear behind the site, which has so many outputs.
    public static InputStatistics withMeantOutputs(int width, int outputs, Backend backend) {
        return new InputStatistics(width, null, null, backend.allocate(outputs, width), backend);
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
        if (drift != null || outputMoments != null) {
            throw new IllegalStateException("what the float model has is missing");
        }
        accumulate(x);
    }

    /// Accumulates the rows of `x` `[n, width]` beside what the float model has in their place.
    public void add(Matrix x, Matrix floatX) {
        if (drift == null) {
            throw new IllegalStateException("no float inputs were announced");
        }
        accumulate(x);
        backend.addTransposedProduct(floatX, x, drift);
    }

    /// Accumulates rows of `x` beside what the linear behind this site should put out for them, `[n, outputs]`, without
    /// its bias.
    public void addMeant(Matrix x, Matrix outputs) {
        if (outputMoments == null) {
            throw new IllegalStateException("no outputs were announced");
        }
        accumulate(x);
        backend.addTransposedProduct(outputs, x, outputMoments);
    }

    private void accumulate(Matrix x) {
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
        changeRows(moments(), (i, row) -> {
            for (int j = 0; j < row.length; j++) {
                row[j] = (float) (row[j] / ((double) divisors[i] * divisors[j]));
            }
        });
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
            average(moments);
            if (outputMoments != null) {
                average(outputMoments);
            }
        }
        return moments;
    }

    /// What is done to one row of a matrix, in place.
    private interface RowChange {
        void change(int row, float[] values);
    }

    private void average(Matrix sums) {
        changeRows(sums, (i, row) -> {
            for (int j = 0; j < row.length; j++) {
                row[j] = (float) (row[j] / (double) tokens);
            }
        });
    }

    private void changeRows(Matrix matrix, RowChange change) {
        float[] row = new float[matrix.columns()];
        for (int i = 0; i < matrix.rows(); i++) {
            Matrix part = matrix.rows(i, 1);
            backend.copyOut(part, row, 0);
            change.change(i, row);
            backend.copyIn(row, 0, part);
        }
    }

    /// `mean((f - x)·xᵀ)`, `[width, width]`, `f` being what the float model has where the quantized one has `x`; owned
    /// by this object and not to be written. Null if no float inputs were shown.
    public Matrix drift() {
        if (drift == null || driftDone) {
            return drift;
        }
        Matrix own = moments();
        driftDone = true;
        float[] ownRow = new float[width()];
        changeRows(drift, (i, row) -> {
            backend.copyOut(own.rows(i, 1), ownRow, 0);
            for (int j = 0; j < row.length; j++) {
                row[j] = (float) (row[j] / (double) tokens - ownRow[j]);
            }
        });
        return drift;
    }

    /// `mean(y·xᵀ)`, `[outputs, width]`, `y` being what the linear behind this site should put out without its
    /// bias; owned by this object and not to be written. Null if none were shown.
    public Matrix outputMoments() {
        moments();
        return outputMoments;
    }

    /// Whether meant outputs are to be shown.
    boolean wantsOutputs() {
        return outputMoments != null;
    }

    /// Says that the float model's inputs are `divisors` `[width]` times those that the quantized one will have.
    void divideFloatInputs(float[] divisors) {
        if (drift == null) {
            return; // what a linear should put out does not depend on how its inputs are scaled
        }
        if (driftDone) {
            throw new IllegalStateException("the drift has been read already");
        }
        changeRows(drift, (i, row) -> {
            for (int j = 0; j < row.length; j++) {
                row[j] /= divisors[i];
            }
        });
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
        if (drift != null) {
            drift.close();
        }
        if (outputMoments != null) {
            outputMoments.close();
        }
        moments.close();
    }
}
