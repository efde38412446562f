package dev.halftone.core.model;

/// How the rotary frequencies `theta^(-2i/d)` of a head of size `d` are stretched to reach further than the model was
/// first trained.
public sealed interface RotaryScaling {
    /// The inverse frequencies for a sequence of `length` tokens so far, in radians per position.
    ///
    /// @param destination `[headSize / 2]`, overwritten
    void frequencies(double theta, int headSize, int length, double[] destination);

    /// True if [#frequencies] depends on the length.
    default boolean growsWithLength() {
        return false;
    }

    /// As trained.
    record None() implements RotaryScaling {
        @Override
        public void frequencies(double theta, int headSize, int length, double[] destination) {
            plain(theta, headSize, destination);
        }
    }

    /// All positions divided by `factor`.
    record Linear(double factor) implements RotaryScaling {
        @Override
        public void frequencies(double theta, int headSize, int length, double[] destination) {
            plain(theta, headSize, destination);
            for (int i = 0; i < destination.length; i++) {
                destination[i] /= factor;
            }
        }
    }

    /// Once a sequence is longer than `original` tokens, the base grows with it to
    /// `theta * (factor * length / original - (factor - 1)) ^ (d / (d - 2))`. Stored keys stay as they were
    /// turned, so a prompt given in pieces is turned differently from one given at once.
    record Dynamic(double factor, int original) implements RotaryScaling {
        @Override
        public void frequencies(double theta, int headSize, int length, double[] destination) {
            double stretch = factor * Math.max(length, original) / original - (factor - 1);
            plain(theta * Math.pow(stretch, headSize / (headSize - 2.0)), headSize, destination);
        }

        @Override
        public boolean growsWithLength() {
            return true;
        }
    }

    /// The rule of Llama 3.1: waves longer than `original / lowFactor` positions are stretched by `factor`, those
    /// shorter than `original / highFactor` are kept, and between the two the frequency is a blend.
    record Llama3(double factor, double lowFactor, double highFactor, int original) implements RotaryScaling {
        @Override
        public void frequencies(double theta, int headSize, int length, double[] destination) {
            plain(theta, headSize, destination);
            for (int i = 0; i < destination.length; i++) {
                double turns = original * destination[i] / (2 * Math.PI);
                double kept = Math.clamp((turns - lowFactor) / (highFactor - lowFactor), 0.0, 1.0);
                destination[i] *= kept + (1 - kept) / factor;
            }
        }
    }

    private static void plain(double theta, int headSize, double[] destination) {
        for (int i = 0; i < destination.length; i++) {
            destination[i] = Math.pow(theta, -2.0 * i / headSize);
        }
    }
}
