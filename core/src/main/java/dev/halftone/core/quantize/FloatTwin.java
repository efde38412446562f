package dev.halftone.core.quantize;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.tensor.Tensor;
import java.util.function.Consumer;

/// The calibration windows on their way through the float model, in step with those in the quantized one. So a method
/// can aim at what the float model puts out, instead of repeating the errors that were made before.
///
/// The steps are taken batch by batch, as the quantized model's inputs are shown, and only hidden states are kept from
/// one to the next.
final class FloatTwin implements AutoCloseable {
    private final Checkpoint checkpoint;
    private final LinearWeights weights;
    private final LlamaConfig config;
    private final Backend backend;
    private final CalibrationSamples samples;
    private final Consumer<InputSite> afterBatch;
    private final Matrix outputs; // [rows of a batch, hidden]
    private DecoderBlock block;
    private int layer;

    /// @param samples    before the block that comes first; taken over
    /// @param afterBatch told the site, and with the last one that the batch has left the block
    FloatTwin(
            Checkpoint checkpoint,
            LinearWeights weights,
            LlamaConfig config,
            CalibrationSamples samples,
            Consumer<InputSite> afterBatch,
            Backend backend) {
        this.checkpoint = checkpoint;
        this.weights = weights;
        this.config = config;
        this.backend = backend;
        this.samples = samples;
        this.afterBatch = afterBatch;
        outputs = backend.allocate(samples.rowsAtOnce(), config.hidden());
    }

    /// Loads a block; the one before must have been left.
    void enter(int newLayer) {
        layer = newLayer;
        block = DecoderBlock.load(config, layer, weights, checkpoint, backend);
    }

    /// Accumulates inputs of `site` in the quantized model beside what the float model makes of the same tokens: its
    /// inputs, or if the statistics want them, what the linear should put out so that the hidden states become the
    /// float model's.
    ///
    /// @param input    `[n, width]`, of the tokens of a batch that count
    /// @param states   `[rows, hidden]`, the quantized model's hidden states of the whole batch, to which that
    ///                 linear adds
    /// @param firstRow of the batch among all tokens
    void show(
            InputSite site, TokenSample sample, Matrix input, Matrix states, int firstRow, InputStatistics statistics) {
        int rows = states.rows();
        int batch = firstRow / samples.rowsAtOnce();
        Matrix floats = samples.compute(block, site, firstRow, rows);
        if (!statistics.wantsOutputs()) {
            statistics.add(input, sample.of(floats, batch));
        }
        if (site.addsToStates()) {
            samples.add(block, site, floats, firstRow);
        }
        if (statistics.wantsOutputs()) {
            Matrix floatStates = samples.hidden(firstRow, rows);
            addMeant(statistics, site, input, sample.of(states, batch), sample.of(floatStates, batch));
        }
        afterBatch.accept(site);
    }

    private void addMeant(InputStatistics statistics, InputSite site, Matrix input, Matrix states, Matrix floatStates) {
        int width = config.hidden();
        float[] bias = bias(site);
        backend.forRanges(states.rows(), (from, to) -> {
            float[] own = new float[width];
            float[] meant = new float[width];
            for (int row = from; row < to; row++) {
                backend.copyOut(states.rows(row, 1), own, 0);
                backend.copyOut(floatStates.rows(row, 1), meant, 0);
                for (int i = 0; i < width; i++) {
                    meant[i] -= own[i] + bias[i];
                }
                backend.copyIn(meant, 0, outputs.rows(row, 1));
            }
        });
        // All at once: the sums are read and written for every call, however few its rows.
        statistics.addMeant(input, outputs.rows(0, states.rows()));
    }

    /// Of the one linear behind `site`, zeros if it has none.
    private float[] bias(InputSite site) {
        String name = DecoderBlock.prefix(layer) + site.linears().getFirst() + ".bias";
        Tensor bias = checkpoint.tensors().get(name);
        return bias == null ? new float[config.hidden()] : bias.toFloats();
    }

    /// Where the windows are.
    CalibrationSamples samples() {
        return samples;
    }

    /// Drops the block, when all batches have been shown at every site: the widest matrices are still to come.
    void leave() {
        if (block != null) {
            block.close();
            block = null;
        }
    }

    @Override
    public void close() {
        leave();
        outputs.close();
        samples.close();
    }
}
