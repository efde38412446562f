package dev.halftone.core.model;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Batch;
import dev.halftone.core.compute.Matrix;

/// Cosines and sines of the rotary angles `position * frequency[i]` for the tokens of one batch, shared by all layers.
/// Computed on the host in double precision and copied in once per pass
/// ([RoFormer](https://arxiv.org/abs/2104.09864), equation 34).
public final class RotaryAngles implements AutoCloseable {
    private final Backend backend;
    private final RotaryScaling scaling;
    private final double theta;
    private final int headSize;
    private final int maximumRows;
    private final double[] frequencies; // [headSize / 2]
    private final float[] hostCosines; // [maximumRows, headSize / 2]
    private final float[] hostSines;
    private final Scratch cosines;
    private final Scratch sines;
    private int rows;

    public RotaryAngles(Backend backend, LlamaConfig config, int maximumRows) {
        this.backend = backend;
        this.scaling = config.scaling();
        this.theta = config.theta();
        this.headSize = config.headSize();
        this.maximumRows = maximumRows;
        int half = headSize / 2;
        frequencies = new double[half];
        hostCosines = new float[Math.multiplyExact(maximumRows, half)];
        hostSines = new float[hostCosines.length];
        cosines = new Scratch(backend, maximumRows, half);
        sines = new Scratch(backend, maximumRows, half);
        scaling.frequencies(theta, headSize, 0, frequencies);
    }

    /// Computes the angles of all tokens of `batch`; they hold until the next call. Where the frequencies grow with
    /// the length, a sequence is as long as its last token in the batch makes it.
    public void prepare(Batch batch) {
        if (batch.rows() < 1 || batch.rows() > maximumRows) {
            throw new IllegalArgumentException("a batch of " + batch.rows() + " rows, room for 1 to " + maximumRows);
        }
        int half = frequencies.length;
        int next = 0;
        for (int sequence = 0; sequence < batch.size(); sequence++) {
            int end = batch.start(sequence) + batch.count(sequence);
            if (scaling.growsWithLength()) {
                scaling.frequencies(theta, headSize, end, frequencies);
            }
            for (int position = batch.start(sequence); position < end; position++) {
                for (int i = 0; i < half; i++, next++) {
                    double angle = position * frequencies[i];
                    hostCosines[next] = (float) Math.cos(angle);
                    hostSines[next] = (float) Math.sin(angle);
                }
            }
        }
        rows = batch.rows();
        backend.copyIn(hostCosines, 0, cosines());
        backend.copyIn(hostSines, 0, sines());
    }

    /// `[rows of the batch, headSize / 2]`
    public Matrix cosines() {
        return cosines.rows(rows);
    }

    /// `[rows of the batch, headSize / 2]`
    public Matrix sines() {
        return sines.rows(rows);
    }

    @Override
    public void close() {
        cosines.close();
        sines.close();
    }
}
