package dev.halftone.eval;

/// What [Perplexity] found.
///
/// @param perplexity     `exp(meanLoss)`
/// @param standardError  of `perplexity`, taking the predictions as independent; neighbouring tokens are not, so it is
/// a
///                       lower bound
/// @param windowError    of `perplexity`, from the spread of the window means; NaN for a single window
/// @param meanLoss       negative log-likelihood per token, in nats
/// @param tokens         predictions scored
/// @param windows        windows scored
/// @param context        tokens of a window
public record PerplexityResult(
        double perplexity,
        double standardError,
        double windowError,
        double meanLoss,
        long tokens,
        int windows,
        int context,
        Protocol protocol) {

    /// All windows have the same number of predictions, so the mean over tokens and over windows are the same number.
    static PerplexityResult of(Mean overTokens, Mean overWindows, Protocol protocol, int context) {
        double perplexity = Math.exp(overWindows.mean());
        return new PerplexityResult(
                perplexity,
                perplexity * overTokens.standardError(),
                perplexity * overWindows.standardError(),
                overWindows.mean(),
                overTokens.count(),
                Math.toIntExact(overWindows.count()),
                context,
                protocol);
    }
}
