package dev.halftone.core.model;

import dev.halftone.core.HalftoneException;
import dev.halftone.core.HalftoneException.Kind;
import java.util.SplittableRandom;

/// Chooses tokens from logits. Equal options and equal logits give equal tokens; choosing allocates nothing. For one
/// sequence.
public final class Sampler {
    private final SamplingOptions options;
    private final SplittableRandom random;
    private final double[] weights; // [vocabulary], probabilities up to a factor; the likeliest has 1
    private final int[] heap; // [vocabulary], tokens; what has left the heap stands behind it
    private int heapSize;

    public Sampler(SamplingOptions options, int vocabulary) {
        this.options = options;
        this.random = new SplittableRandom(options.seed());
        this.weights = new double[vocabulary];
        this.heap = new int[vocabulary];
    }

    /// The next token; of equally likely ones the lowest comes first.
    ///
    /// @param logits `[vocabulary]`, not modified; minus infinity excludes a token
    /// @throws HalftoneException of kind NUMERICS if a logit is NaN or plus infinity, or all are minus infinity
    public int sample(float[] logits) {
        if (logits.length != weights.length) {
            throw new IllegalArgumentException(logits.length + " logits for a vocabulary of " + weights.length);
        }
        int likeliest = likeliest(logits);
        if (options.temperature() == 0) {
            return likeliest;
        }
        double total = 0;
        for (int i = 0; i < weights.length; i++) {
            weights[i] = Math.exp(((double) logits[i] - logits[likeliest]) / options.temperature());
            total += weights[i];
        }
        if (options.topK() == 0 && options.topP() == 1 && options.minP() == 0) {
            return drawFromAll(total);
        }
        return drawFromLikeliest(total);
    }

    private static int likeliest(float[] logits) {
        int likeliest = 0;
        float largest = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < logits.length; i++) {
            // One comparison for nearly all of them; written so that NaN fails it too.
            if (!(logits[i] <= largest)) {
                if (!(logits[i] < Float.POSITIVE_INFINITY)) {
                    throw unusable("the logit of token " + i + " is " + logits[i]);
                }
                likeliest = i;
                largest = logits[i];
            }
        }
        if (largest == Float.NEGATIVE_INFINITY) {
            throw unusable("every logit is -Infinity");
        }
        return likeliest;
    }

    private static HalftoneException unusable(String detail) {
        return new HalftoneException(
                Kind.NUMERICS,
                "the model's logits are no numbers to choose by",
                detail,
                "check the weights of the model; a weight that is not finite spoils every token");
    }

    private int drawFromAll(double total) {
        double remaining = random.nextDouble() * total;
        int last = 0;
        for (int i = 0; i < weights.length; i++) {
            if (weights[i] > 0) {
                last = i;
                remaining -= weights[i];
                if (remaining < 0) {
                    return i;
                }
            }
        }
        return last; // the sum was rounded up
    }

    private int drawFromLikeliest(double allWeight) {
        fillHeap();
        int most = weights.length;
        double total = allWeight;
        if (options.topK() > 0 && options.topK() < weights.length) {
            most = options.topK();
            total = 0;
            for (int rank = 0; rank < most; rank++) {
                total += weights[ranked(rank)];
            }
        }
        double enough = options.topP() == 1 ? Double.POSITIVE_INFINITY : options.topP() * total;
        double least = Math.max(options.minP(), Double.MIN_VALUE);
        int kept = 0;
        double keptWeight = 0;
        while (kept < most && keptWeight < enough && weights[ranked(kept)] >= least) {
            keptWeight += weights[ranked(kept)];
            kept++;
        }
        double remaining = random.nextDouble() * keptWeight;
        for (int rank = 0; rank < kept - 1; rank++) {
            remaining -= weights[ranked(rank)];
            if (remaining < 0) {
                return ranked(rank);
            }
        }
        return ranked(kept - 1);
    }

    /// The token with `rank` likelier ones before it.
    private int ranked(int rank) {
        while (heap.length - heapSize <= rank) {
            takeLikeliest();
        }
        return heap[heap.length - 1 - rank];
    }

    private void fillHeap() {
        heapSize = heap.length;
        for (int i = 0; i < heapSize; i++) {
            heap[i] = i;
        }
        for (int i = heapSize / 2 - 1; i >= 0; i--) {
            siftDown(i);
        }
    }

    private void takeLikeliest() {
        int token = heap[0];
        heapSize--;
        heap[0] = heap[heapSize];
        siftDown(0);
        heap[heapSize] = token;
    }

    private void siftDown(int start) {
        int parent = start;
        int token = heap[parent];
        while (2 * parent + 1 < heapSize) {
            int child = 2 * parent + 1;
            if (child + 1 < heapSize && precedes(heap[child + 1], heap[child])) {
                child++;
            }
            if (!precedes(heap[child], token)) {
                break;
            }
            heap[parent] = heap[child];
            parent = child;
        }
        if (parent < heapSize) {
            heap[parent] = token;
        }
    }

    private boolean precedes(int a, int b) {
        return weights[a] > weights[b] || weights[a] == weights[b] && a < b;
    }
}
