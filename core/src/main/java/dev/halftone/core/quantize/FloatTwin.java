package dev.halftone.core.quantize;

import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.LlamaConfig;

/// The calibration windows on their way through the float model, in step with those in the quantized one. So a method
/// can aim at what the float model puts out, instead of repeating the errors that were made before.
final class FloatTwin implements AutoCloseable {
    private final Checkpoint checkpoint;
    private final LinearWeights weights;
    private final LlamaConfig config;
    private final Backend backend;
    private final CalibrationSamples samples;
    private DecoderBlock block;

    /// @param samples before the block that comes first; taken over
    FloatTwin(
            Checkpoint checkpoint,
            LinearWeights weights,
            LlamaConfig config,
            CalibrationSamples samples,
            Backend backend) {
        this.checkpoint = checkpoint;
        this.weights = weights;
        this.config = config;
        this.backend = backend;
        this.samples = samples;
    }

    /// Loads a block; the windows must have left the one before.
    void enter(int layer) {
        closeBlock();
        block = DecoderBlock.load(config, layer, weights, checkpoint, backend);
    }

    void advance(InputSite site, Runnable afterBatch) {
        samples.advance(block, site, null, null, afterBatch);
    }

    void leave(Runnable afterBatch) {
        samples.leave(block, afterBatch);
        closeBlock();
    }

    /// Where the windows are.
    CalibrationSamples samples() {
        return samples;
    }

    private void closeBlock() {
        if (block != null) {
            block.close();
            block = null;
        }
    }

    @Override
    public void close() {
        closeBlock();
        samples.close();
    }
}
