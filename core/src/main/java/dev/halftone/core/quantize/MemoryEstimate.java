package dev.halftone.core.quantize;

import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.weight.QuantizationScheme;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import java.util.stream.Collectors;

/// Memory that a run needs at its peak, in bytes by purpose. Does not depend on the number of layers.
///
/// The model's files are mapped. The pages that were read count as resident memory of the process, but the system takes
/// them back when something else needs the room; so they are told apart.
///
/// @param parts  what has to fit, in the order in which it is explained
/// @param mapped pages of files that are resident besides, where there is room
public record MemoryEstimate(SequencedMap<String, Long> parts, long mapped) {
    /// Classes, compiled code, the compiler at work, threads: measured, see docs/performance.md.
    private static final long RUNTIME = 110L << 20;

    /// More of the same where the model is run, with what multiplies it and its scratch.
    private static final long FORWARD_RUNTIME = 80L << 20;

    /// What the tokenizer takes for each byte of its file.
    private static final long TOKENIZER = 12;

    /// What it takes for each token of the text, whether that is used or dropped.
    private static final long ENCODED = 350;

    /// Rows whose errors the methods with feedback compare, as float32 once restored and once as a change.
    private static final long COMPARED_ROWS = 512;

    /// Columns that such a method works on at a time.
    private static final long BLOCK = 128;

    /// Numbers that it keeps of each of them and each output: gradients, changes and curvatures.
    private static final long KEPT = 8;

    /// A collector of garbage lets the heap fill to so many times what lives in it.
    private static final double SLACK = 2.5;

    public MemoryEstimate {
        parts = Collections.unmodifiableSequencedMap(new LinkedHashMap<>(parts));
    }

    /// What has to fit.
    public long total() {
        return sum(parts);
    }

    /// The largest resident memory that the system will show for the process, where there is room for all pages.
    public long resident() {
        return total() + mapped;
    }

    /// @param all          linears that are quantized
    /// @param calibration  what will be run through the model, or null for nothing
    /// @param sourceBytes  of the model's files
    /// @param tensorBytes  of the largest tensor in them
    /// @param heap         that the virtual machine has taken already
    /// @param heapLimit    that it may take
    /// @param tokenizerBytes of the tokenizer's file
    static MemoryEstimate of(
            LlamaConfig config,
            List<LinearTask> all,
            Recipe recipe,
            Calibration.Facts calibration,
            long sourceBytes,
            long tensorBytes,
            long heap,
            long heapLimit,
            long tokenizerBytes) {
        SequencedMap<String, Long> parts = new LinkedHashMap<>();
        List<LinearTask> linears = all.stream().filter(LinearTask::isOfBlock).toList();
        if (calibration != null) {
            parts.put("calibration activations", samples(config, calibration));
            long forward = forward(config, calibration);
            long block = block(linears);
            if (!recipe.transforms().isEmpty()) {
                Calibration.Facts probed = FoldSearch.probed(calibration);
                forward += forward(config, probed) + samples(config, probed);
                // The float block, and in float32 the linears of one site.
                block += 6 * parameters(linears);
            }
            LinearTask peak = linears.stream()
                    .max(Comparator.comparingLong(linear -> beside(linear, linears, recipe)))
                    .orElseThrow();
            if (recipe.needsFloatTwin()) {
                forward += Float.BYTES
                        * (rows(calibration) * (CalibrationSamples.widest(config) + 2L * config.hidden())
                                + calibration.tokens() * config.hidden());
                block += floatBlock(peak, linears, recipe);
            }
            parts.put("forward pass", forward);
            parts.put("block", block);
            // A slab of inputs packed for the product, and a strip of the factor.
            parts.put("moments, factor and working copy", moments(peak, recipe) + 4 * (384 + BLOCK) * widest(linears));
        }
        // Packed by the layout, in the file's form and on its way there.
        parts.put("packing", packing(linears));
        long ofBlocks = sum(parts);
        if (packing(all) > ofBlocks) {
            // It is packed when nothing else is there any more.
            parts.put("packing of head or embeddings beyond that", packing(all) - ofBlocks);
        }
        long codes = largest(all);
        long arrays =
                calibration == null ? 0 : 8 * COMPARED_ROWS * widest(linears) + 4 * KEPT * BLOCK * tallest(linears);
        // It grows somewhat beyond what encoding the text had taken.
        long grown = Math.max(calibration == null ? heap : heap + heap / 2, (long) (SLACK * (codes + arrays)));
        // Codes of a table are too large to be collected with what is young, both when found and when read back.
        long tables = all.stream()
                .filter(linear -> !linear.isOfBlock())
                .mapToLong(LinearTask::parameters)
                .sum();
        grown = Math.max(grown, heap / 2 + 2 * tables);
        parts.put("Java heap", Math.min(grown, heapLimit));
        long ofLoop = calibration == null ? 0 : sum(parts) - parts.get("Java heap");
        long running = calibration == null
                ? 0
                : FORWARD_RUNTIME + ENCODED * calibration.textTokens() + TOKENIZER * tokenizerBytes;
        parts.put("Java itself", RUNTIME + running);
        // Pages are given back block by block. Before the first block and behind the last, when most of the rest is not
        // there, tensors are hashed and compared with what was written, two large ones side by side.
        long beside = 2 * tensorBytes - ofLoop;
        return new MemoryEstimate(parts, Math.max(sourceBytes / config.layers(), beside));
    }

    private static long sum(SequencedMap<String, Long> parts) {
        return parts.values().stream().mapToLong(Long::longValue).sum();
    }

    private static long packing(List<LinearTask> linears) {
        return linears.stream()
                .mapToLong(linear -> 2 * linear.scheme().bits() * linear.parameters() / 8)
                .max()
                .orElse(0);
    }

    /// Hidden states, and inputs of the widest site.
    private static long samples(LlamaConfig config, Calibration.Facts calibration) {
        return Float.BYTES * calibration.tokens() * (config.hidden() + CalibrationSamples.widest(config));
    }

    private static long rows(Calibration.Facts calibration) {
        return (long) CalibrationScratch.windowsAtOnce(calibration) * calibration.length();
    }

    /// What the samples write to of a workspace, besides the inputs of a batch: what a whole block would want in
    /// addition is never touched, so no page of it is resident.
    private static long forward(LlamaConfig config, Calibration.Facts calibration) {
        long rows = rows(calibration);
        long queries = (long) config.heads() * config.headSize();
        long keys = (long) config.kvHeads() * config.headSize();
        long columns = CalibrationSamples.widest(config)
                + config.hidden()
                + queries
                // New keys and values, and those in the cache.
                + 4 * keys
                + config.intermediate()
                + config.headSize();
        return Float.BYTES * rows * columns;
    }

    /// Of the largest block: quantized, with a factor for each group and, unless all are alike, a centre.
    private static long block(List<LinearTask> linears) {
        return linears.stream()
                .collect(Collectors.groupingBy(LinearTask::layer, Collectors.summingLong(MemoryEstimate::bound)))
                .values()
                .stream()
                .mapToLong(Long::longValue)
                .max()
                .orElseThrow();
    }

    private static long bound(LinearTask linear) {
        QuantizationScheme scheme = linear.scheme();
        long codes = scheme.bits() <= 4 ? linear.parameters() / 2 : linear.parameters();
        long cells = (long) linear.outputs() * scheme.groups(linear.inputs());
        return codes + Float.BYTES * cells * (scheme.symmetric() ? 1 : 2);
    }

    private static long parameters(List<LinearTask> linears) {
        return linears.stream()
                .collect(Collectors.groupingBy(LinearTask::layer, Collectors.summingLong(LinearTask::parameters)))
                .values()
                .stream()
                .mapToLong(Long::longValue)
                .max()
                .orElseThrow();
    }

    /// What is there while `linear` is quantized and not while others are.
    private static long beside(LinearTask linear, List<LinearTask> linears, Recipe recipe) {
        return moments(linear, recipe) + floatBlock(linear, linears, recipe);
    }

    /// The float model's block, which is dropped before the last site of its layer is quantized.
    private static long floatBlock(LinearTask linear, List<LinearTask> linears, Recipe recipe) {
        return recipe.needsFloatTwin() && linear.site() != InputSite.MLP_OUTPUT ? 2 * parameters(linears) : 0;
    }

    /// Moments of the inputs of `linear`, their factor, and float32 copies of its weight.
    private static long moments(LinearTask linear, Recipe recipe) {
        int squares = 2;
        int copies = 1;
        if (recipe.needsFloatTwin()) {
            copies++; // the weight that its target is
            if (recipe.meansOutputs(linear.site())) {
                copies++; // moments of what it should put out
            } else {
                squares++; // the drift
            }
        }
        return Float.BYTES
                * (squares * (long) linear.inputs() * linear.inputs()
                        + copies * linear.parameters()
                        + BLOCK * linear.outputs());
    }

    private static long largest(List<LinearTask> linears) {
        return linears.stream().mapToLong(LinearTask::parameters).max().orElse(0);
    }

    private static long widest(List<LinearTask> linears) {
        return linears.stream().mapToLong(LinearTask::inputs).max().orElse(0);
    }

    private static long tallest(List<LinearTask> linears) {
        return linears.stream().mapToLong(LinearTask::outputs).max().orElse(0);
    }
}
