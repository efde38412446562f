package dev.halftone.core.convert;

/// Hears how far a conversion is.
@FunctionalInterface
public interface ConversionProgress {
    /// For those who need not know.
    ConversionProgress SILENT = (tensor, done, total) -> {};

    /// Called after every tensor.
    ///
    /// @param tensor its name in the output
    /// @param done   tensors written so far
    /// @param total  tensors to write
    void written(String tensor, int done, int total);
}
