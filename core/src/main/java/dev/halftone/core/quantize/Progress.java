package dev.halftone.core.quantize;

import dev.halftone.core.model.InputSite;
import dev.halftone.core.model.LlamaConfig;

/// How much of a run's arithmetic is done. Linears differ by an order of magnitude, so they are weighted by their
/// floating-point operations; without calibration by the numbers they hold.
final class Progress {
    private final QuantizationPlan plan;
    private final QuantizationListener listener;
    private final double total;
    private double done;

    Progress(QuantizationPlan plan, QuantizationListener listener) {
        this.plan = plan;
        this.listener = listener;
        double sum = 0;
        for (LinearTask linear : plan.linears()) {
            sum += work(linear);
        }
        if (plan.calibration() != null) {
            int layers = plan.config().layers();
            for (InputSite site : InputSite.values()) {
                sum += layers * runs() * advancing(site);
            }
            sum += (layers - 1 + (runs() - 1) * layers) * leaving();
            if (!plan.recipe().transforms().isEmpty()) {
                sum += layers * probing();
            }
        }
        total = sum;
    }

    /// The first `blocks` blocks, at least one, were done by an earlier run.
    void resumed(int blocks) {
        double sum = 0;
        for (LinearTask linear : plan.linears()) {
            sum += linear.layer() < blocks ? work(linear) : 0;
        }
        if (plan.calibration() != null) {
            for (InputSite site : InputSite.values()) {
                sum += blocks * runs() * advancing(site);
            }
            sum += (Math.min(blocks, plan.config().layers() - 1) + (runs() - 1) * blocks) * leaving();
            if (!plan.recipe().transforms().isEmpty()) {
                sum += blocks * probing();
            }
        }
        add(sum);
    }

    /// A linear is quantized.
    void finished(LinearTask linear) {
        add(work(linear));
    }

    /// One of `batches` batches has reached `site`.
    void advanced(InputSite site, int batches) {
        add(advancing(site) / batches);
    }

    /// One of `batches` batches has left the block.
    void left(int batches) {
        add(leaving() / batches);
    }

    /// One of the batches in which the float block shows its inputs to the transforms is through.
    void probed() {
        Calibration.Facts facts = FoldSearch.probed(plan.calibration());
        int batches = Math.ceilDiv(facts.samples(), CalibrationScratch.windowsAtOnce(facts));
        add(probing() / (batches * InputSite.values().length));
    }

    /// A share of the forward pass of one block; what the transforms themselves do is not known here.
    private double probing() {
        double sum = 0;
        for (InputSite site : InputSite.values()) {
            sum += advancing(site);
        }
        return sum
                * FoldSearch.probed(plan.calibration()).tokens()
                / plan.calibration().tokens();
    }

    private void add(double work) {
        done += work;
        listener.progressed(Math.min(1, done / total));
    }

    private double work(LinearTask linear) {
        double inputs = linear.inputs();
        // Head and embeddings are rounded without calibration whatever the method.
        if (plan.calibration() == null || !linear.isOfBlock()) {
            return linear.parameters();
        }
        // The factorisation is paid by the first of the linears that share it.
        double factor = linear.linear().equals(linear.site().linears().getFirst()) ? 4.0 / 3 * inputs : 0;
        return inputs * inputs * (linear.outputs() + factor);
    }

    /// How often the windows pass through the model: beside the quantized one perhaps through the float one.
    private int runs() {
        return plan.recipe().needsFloatTwin() ? 2 : 1;
    }

    private double advancing(InputSite site) {
        double tokens = plan.calibration().tokens();
        double width = site.width(plan.config());
        double moments = TokenSample.of((int) width, plan.calibration()).of(tokens) * width * width;
        return moments
                + switch (site) {
                    case ATTENTION_INPUT -> 0;
                    case ATTENTION_OUTPUT ->
                        multiplying(InputSite.ATTENTION_INPUT)
                                + 2 * tokens * plan.calibration().length() * width;
                    case MLP_INPUT -> multiplying(InputSite.ATTENTION_OUTPUT);
                    case MLP_OUTPUT -> multiplying(InputSite.MLP_INPUT);
                };
    }

    private double leaving() {
        return multiplying(InputSite.MLP_OUTPUT);
    }

    /// Operations of the linears behind `site`.
    private double multiplying(InputSite site) {
        LlamaConfig config = plan.config();
        double outputs = site.linears().stream()
                .mapToDouble(linear -> site.outputs(linear, config))
                .sum();
        return 2.0 * plan.calibration().tokens() * outputs * site.width(config);
    }
}
