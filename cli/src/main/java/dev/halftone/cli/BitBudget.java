package dev.halftone.cli;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.checkpoint.Checkpoint;
import dev.halftone.core.checkpoint.TensorSpec;
import dev.halftone.core.compute.Backend;
import dev.halftone.core.layout.LinearWeights;
import dev.halftone.core.layout.PackedLayout;
import dev.halftone.core.layout.PackedLayouts;
import dev.halftone.core.model.DecoderBlock;
import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.Llama;
import dev.halftone.core.model.LlamaConfig;
import dev.halftone.core.quantize.BitAllocation;
import dev.halftone.core.quantize.BitAllocation.Way;
import dev.halftone.core.quantize.Calibration;
import dev.halftone.core.quantize.Recipe;
import dev.halftone.core.quantize.SchemeOverride;
import dev.halftone.core.weight.QuantizationScheme;
import dev.halftone.eval.Sensitivity;
import dev.halftone.eval.Windows;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/// Chooses the bits of every site so that a model keeps to a size: each is rounded alone at every number of bits, the
/// divergence that this causes is measured, and the bits go where they spare most of it.
final class BitBudget {
    /// Enough to tell the sites apart: what is compared are divergences of the same predictions.
    private static final int TOKENS = 256;

    private final Recipe recipe;
    private final List<QuantizationScheme> schemes;

    /// @param recipe whose groups, range and layout all schemes share
    BitBudget(Recipe recipe) {
        this.recipe = recipe;
        schemes = SchemeOptions.BITS.stream()
                .map(bits -> SchemeOverride.round(Pattern.compile(""), bits, null)
                        .apply(recipe.scheme())
                        .orElseThrow())
                .filter(this::isStorable)
                .toList();
    }

    private PackedLayout layout(QuantizationScheme scheme) {
        return PackedLayouts.of(recipe.layout().name(), scheme, recipe.inputs().kind());
    }

    private boolean isStorable(QuantizationScheme scheme) {
        try {
            // Sizes that fit every format: whether those of the model do is told by the plan.
            int inputs = scheme.groupSize() == QuantizationScheme.PER_CHANNEL ? 1024 : 32 * scheme.groupSize();
            layout(scheme).requireStorable("any", 1024, inputs, scheme);
            return true;
        } catch (HalftoneException e) {
            return false;
        }
    }

    /// @param bitsPerWeight of all linears together, scales and zeros included
    /// @param calibration   its first tokens are what divergences are measured on
    /// @throws HalftoneException of kind USAGE if the size cannot be met
    List<SchemeOverride> choose(
            Path model,
            double bitsPerWeight,
            Calibration calibration,
            Backend backend,
            Console console,
            Interruption interruption)
            throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(model);
                Llama llama = Llama.load(checkpoint, backend);
                Progress progress = console.progress("Measuring")) {
            LlamaConfig config = llama.config();
            requireReachable(bitsPerWeight, config);
            int[] tokens = calibration.windows().stream()
                    .flatMapToInt(Arrays::stream)
                    .limit(TOKENS)
                    .toArray();
            List<Sensitivity> parts = Sensitivity.measure(
                    llama, LinearWeights.of(checkpoint), Windows.of(tokens, tokens.length, 1), schemes, (done, all) -> {
                        interruption.check();
                        progress.update(done, all, done + "/" + all + " roundings");
                    });
            List<List<Way>> ways = new ArrayList<>();
            for (Sensitivity part : parts) {
                List<Way> ofPart = new ArrayList<>();
                for (int i = 0; i < schemes.size(); i++) {
                    ofPart.add(new Way(
                            bits(part, config, schemes.get(i)),
                            part.divergences().get(i)));
                }
                ways.add(ofPart);
            }
            int[] chosen = BitAllocation.choose(ways, (long) (bitsPerWeight * weights(config)));
            return overrides(parts, chosen);
        }
    }

    private List<SchemeOverride> overrides(List<Sensitivity> parts, int[] chosen) {
        List<SchemeOverride> overrides = new ArrayList<>();
        for (int i = 0; i < chosen.length; i++) {
            QuantizationScheme scheme = schemes.get(chosen[i]);
            if (!scheme.equals(recipe.scheme())) {
                Sensitivity part = parts.get(i);
                String names = part.site().linears().stream()
                        .map(name -> name.replace(".", "\\."))
                        .collect(Collectors.joining("|"));
                String prefix = DecoderBlock.prefix(part.layer()).replace(".", "\\.");
                overrides.add(
                        SchemeOverride.round(Pattern.compile("^" + prefix + "(" + names + ")$"), scheme.bits(), null));
            }
        }
        return overrides;
    }

    private void requireReachable(double bitsPerWeight, LlamaConfig config) {
        double least = schemes.stream()
                .mapToDouble(scheme -> average(scheme, config))
                .min()
                .orElseThrow();
        if (bitsPerWeight < least) {
            throw Usage.fault(
                    Figures.format(
                            "--target-bpw %s cannot be met: with %s and groups of %d every linear takes %.3f bits at"
                                    + " least",
                            bitsPerWeight,
                            recipe.layout().name(),
                            recipe.scheme().groupSize(),
                            least),
                    Figures.format("--target-bpw %.2f or more, or larger groups", Math.ceil(100 * least) / 100));
        }
    }

    private double average(QuantizationScheme scheme, LlamaConfig config) {
        long bits = 0;
        for (InputSite site : InputSite.values()) {
            bits += bits(new Sensitivity(0, site, List.of()), config, scheme);
        }
        return (double) bits * config.layers() / weights(config);
    }

    private long bits(Sensitivity part, LlamaConfig config, QuantizationScheme scheme) {
        long bytes = 0;
        for (String name : part.site().linears()) {
            bytes += layout(scheme)
                    .specs(
                            DecoderBlock.prefix(part.layer()) + name,
                            part.site().outputs(name, config),
                            part.site().width(config),
                            scheme)
                    .stream()
                    .mapToLong(TensorSpec::bytes)
                    .sum();
        }
        return 8 * bytes;
    }

    private static long weights(LlamaConfig config) {
        long weights = 0;
        for (InputSite site : InputSite.values()) {
            for (String name : site.linears()) {
                weights += (long) site.outputs(name, config) * site.width(config);
            }
        }
        return weights * config.layers();
    }
}
