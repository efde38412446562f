package dev.halftone.core.quantize;

import dev.halftone.core.checkpoint.SafetensorsWriter;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.Matrix;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.model.Workspace;
import dev.halftone.core.tensor.DType;
import dev.halftone.core.tensor.Shape;
import dev.halftone.core.tensor.Tensor;
import dev.halftone.core.weight.Weight;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.zip.CRC32C;

/// The calibration windows on their way through the model: their hidden states, and the inputs of one site at a time.
/// Between two sites stand the linears that read the first: once these are quantized, [#advance] computes the inputs
/// of the second with them. So every linear sees what the quantized part before it really puts out ("true sequential"),
/// and the whole costs one forward pass.
final class CalibrationSamples implements AutoCloseable {
    private final Backend backend;
    private final LlamaConfig config;
    private final Calibration.Facts facts;
    private final int windowsAtOnce;
    private final CalibrationScratch scratch; // not ours
    private final Workspace workspace; // of the scratch
    private final Matrix hidden; // [tokens, hidden]
    private final Matrix
            inputs; // [tokens, widest]; the columns of the current site are the first ones; null if not kept
    private final Matrix next; // [rows at once, widest]

    /// The hidden states come from [#embed], [#copyHidden] or [#restore].
    ///
    /// @param scratch       of the same model and windows; must outlive this
    /// @param keepingInputs whether [#advance] may be used, or only [#compute] and [#add]
    CalibrationSamples(
            LlamaConfig config,
            Calibration.Facts facts,
            CalibrationScratch scratch,
            boolean keepingInputs,
            Backend backend) {
        this.backend = backend;
        this.config = config;
        this.facts = facts;
        this.scratch = scratch;
        workspace = scratch.workspace();
        windowsAtOnce = CalibrationScratch.windowsAtOnce(facts);
        int tokens = Math.toIntExact(facts.tokens());
        hidden = backend.allocate(tokens, config.hidden());
        inputs = keepingInputs ? backend.allocate(tokens, widest(config)) : null;
        next = backend.allocate(rowsAtOnce(), widest(config));
    }

    /// Takes over the hidden states of as many windows as there are here, spread evenly over those of `other`.
    void copyHidden(CalibrationSamples other) {
        int length = facts.length();
        for (int sample = 0; sample < facts.samples(); sample++) {
            int chosen = (int) ((long) sample * other.facts.samples() / facts.samples());
            backend.copy(other.hidden.rows(chosen * length, length), hidden.rows(sample * length, length));
        }
    }

    /// The tensors of [#save]: the hidden states of each window, `[length, hidden]`.
    ///
    /// @param name tells several sets of samples in one file apart
    List<TensorSpec> specs(String name) {
        Shape shape = Shape.of(facts.length(), config.hidden());
        return IntStream.range(0, facts.samples())
                .mapToObj(sample -> new TensorSpec(name + "." + sample, DType.F32, shape))
                .toList();
    }

    /// Bytes of [#save] for these windows.
    static long savedBytes(LlamaConfig config, Calibration.Facts facts) {
        return Float.BYTES * facts.tokens() * config.hidden();
    }

    /// Writes the hidden states, as they are between two blocks.
    ///
    /// @return a checksum for [#restore]
    long save(String name, SafetensorsWriter file) throws IOException {
        float[] rows = new float[facts.length() * config.hidden()];
        ByteBuffer bytes = ByteBuffer.allocate(Float.BYTES * rows.length).order(ByteOrder.LITTLE_ENDIAN);
        CRC32C checksum = new CRC32C();
        List<TensorSpec> specs = specs(name);
        for (int sample = 0; sample < specs.size(); sample++) {
            backend.copyOut(hidden.rows(sample * facts.length(), facts.length()), rows, 0);
            bytes.asFloatBuffer().put(rows);
            checksum.update(bytes.array());
            TensorSpec spec = specs.get(sample);
            file.write(new Tensor(spec.name(), spec.type(), spec.shape(), MemorySegment.ofArray(bytes.array())));
        }
        return checksum.getValue();
    }

    /// Takes the hidden states back.
    ///
    /// @return the checksum of what was found
    /// @throws IllegalArgumentException if these are not the tensors of [#specs]
    long restore(String name, Map<String, Tensor> tensors) {
        CRC32C checksum = new CRC32C();
        int sample = 0;
        for (TensorSpec spec : specs(name)) {
            Tensor tensor = tensors.get(spec.name());
            if (tensor == null || !TensorSpec.of(tensor).equals(spec)) {
                throw new IllegalArgumentException("no " + spec);
            }
            checksum.update(tensor.data().asByteBuffer());
            backend.copyIn(tensor.toFloats(), 0, hidden.rows(sample * facts.length(), facts.length()));
            sample++;
        }
        return checksum.getValue();
    }

    /// Tokens of all windows.
    long tokens() {
        return facts.tokens();
    }

    /// Rows of the largest batch.
    int rowsAtOnce() {
        return windowsAtOnce * facts.length();
    }

    /// Columns of the widest input of a linear.
    static int widest(LlamaConfig config) {
        return Arrays.stream(InputSite.values())
                .mapToInt(site -> site.width(config))
                .max()
                .orElseThrow();
    }

    /// Looks up the embeddings of all tokens.
    void embed(Weight embedding, Calibration calibration) {
        int width = config.hidden();
        float[] rows = new float[facts.length() * width];
        for (int sample = 0; sample < facts.samples(); sample++) {
            int[] window = calibration.windows().get(sample);
            for (int i = 0; i < window.length; i++) {
                embedding.restoreRow(window[i], rows, i * width);
            }
            backend.copyIn(rows, 0, hidden.rows(sample * facts.length(), facts.length()));
        }
    }

    /// Batches that one [#advance] or [#leave] takes.
    int batches() {
        return Math.ceilDiv(facts.samples(), windowsAtOnce);
    }

    /// Computes the inputs of `site` of all windows from those of the site before it, or from the hidden states for
    /// the first, and accumulates them. The linears that stand between the two must have been bound.
    ///
    /// @param statistics receive the inputs; null if nobody needs them
    /// @param twin       the same windows in the float model, to be shown beside these; null if nobody needs them
    /// @param afterBatch run after each of the [#batches]
    void advance(DecoderBlock block, InputSite site, InputStatistics statistics, FloatTwin twin, Runnable afterBatch) {
        int width = site.width(config);
        TokenSample sample = TokenSample.of(width, facts);
        for (int first = 0; first < facts.samples(); first += windowsAtOnce) {
            int windows = Math.min(windowsAtOnce, facts.samples() - first);
            int firstRow = first * facts.length();
            int rows = windows * facts.length();
            Matrix states = hidden.rows(firstRow, rows);
            Matrix input = inputs.view(firstRow, rows, 0, width);
            Matrix output = next.view(0, rows, 0, width);
            switch (site) {
                case ATTENTION_INPUT -> block.enter(states, output);
                case ATTENTION_OUTPUT -> {
                    Matrix before = inputs.view(firstRow, rows, 0, InputSite.ATTENTION_INPUT.width(config));
                    scratch.attend(block, before, windows, output);
                }
                case MLP_INPUT -> {
                    Matrix before = inputs.view(firstRow, rows, 0, InputSite.ATTENTION_OUTPUT.width(config));
                    block.closeAttention(before, states, workspace, output);
                }
                case MLP_OUTPUT -> {
                    Matrix before = inputs.view(firstRow, rows, 0, InputSite.MLP_INPUT.width(config));
                    block.activate(before, workspace, output);
                }
            }
            if (statistics != null) {
                show(statistics, site, sample, sample.of(output, first / windowsAtOnce), firstRow, rows, twin);
            }
            backend.copy(output, input);
            afterBatch.run();
        }
    }

    /// Hands out the inputs that [#advance] has just computed, `[length, width]` for each window.
    ///
    /// @param width of the site
    void forEachWindow(int width, Consumer<Matrix> visitor) {
        for (int sample = 0; sample < facts.samples(); sample++) {
            visitor.accept(inputs.view(sample * facts.length(), facts.length(), 0, width));
        }
    }

    /// Accumulates the inputs that [#advance] has just computed, rounded.
    ///
    /// @param twin as in [#advance]
    void showRounded(RoundedInputs rounding, InputSite site, InputStatistics statistics, FloatTwin twin) {
        int width = site.width(config);
        TokenSample sample = TokenSample.of(width, facts);
        for (int first = 0; first < facts.samples(); first += windowsAtOnce) {
            int firstRow = first * facts.length();
            int rows = Math.min(windowsAtOnce, facts.samples() - first) * facts.length();
            Matrix input = sample.of(inputs.view(firstRow, rows, 0, width), first / windowsAtOnce);
            Matrix rounded = next.view(0, input.rows(), 0, width);
            rounding.round(input, rounded);
            show(statistics, site, sample, rounded, firstRow, rows, twin);
        }
    }

    /// @param input of those tokens that count among the `rows` that begin at `firstRow`
    private void show(
            InputStatistics statistics,
            InputSite site,
            TokenSample sample,
            Matrix input,
            int firstRow,
            int rows,
            FloatTwin twin) {
        if (twin == null) {
            statistics.add(input);
        } else {
            twin.show(site, sample, input, hidden.rows(firstRow, rows), firstRow, statistics);
        }
    }

    /// Computes the inputs of `site` of some windows from their hidden states alone: for the first two sites as
    /// they are before the block, for the others as they are behind its attention.
    ///
    /// @return valid until the next call
    Matrix compute(DecoderBlock block, InputSite site, int firstRow, int rows) {
        Matrix states = hidden(firstRow, rows);
        Matrix output = next.view(0, rows, 0, site.width(config));
        Matrix normed = workspace.normed(rows);
        switch (site) {
            case ATTENTION_INPUT -> block.enter(states, output);
            case ATTENTION_OUTPUT -> {
                block.enter(states, normed);
                scratch.attend(block, normed, rows / facts.length(), output);
            }
            case MLP_INPUT -> block.enterMlp(states, output);
            case MLP_OUTPUT -> {
                block.enterMlp(states, normed);
                block.activate(normed, workspace, output);
            }
        }
        return output;
    }

    /// Adds to the hidden states what the linear behind `site` makes of `siteInputs`, which came from [#compute].
    void add(DecoderBlock block, InputSite site, Matrix siteInputs, int firstRow) {
        Matrix states = hidden(firstRow, siteInputs.rows());
        switch (site) {
            case ATTENTION_OUTPUT -> block.addAttention(siteInputs, states, workspace);
            case MLP_OUTPUT -> block.closeMlp(siteInputs, states, workspace);
            case ATTENTION_INPUT, MLP_INPUT -> throw new IllegalArgumentException(site + " is not followed by a sum");
        }
    }

    /// The hidden states of some windows.
    Matrix hidden(int firstRow, int rows) {
        return hidden.rows(firstRow, rows);
    }

    /// Finishes the block: the hidden states become the input of the next one.
    ///
    /// @param afterBatch run after each of the [#batches]
    void leave(DecoderBlock block, Runnable afterBatch) {
        int width = InputSite.MLP_OUTPUT.width(config);
        for (int first = 0; first < facts.samples(); first += windowsAtOnce) {
            int firstRow = first * facts.length();
            int rows = Math.min(windowsAtOnce, facts.samples() - first) * facts.length();
            block.closeMlp(inputs.view(firstRow, rows, 0, width), hidden.rows(firstRow, rows), workspace);
            afterBatch.run();
        }
    }

    @Override
    public void close() {
        next.close();
        if (inputs != null) {
            inputs.close();
        }
        hidden.close();
    }
}
