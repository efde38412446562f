package dev.halftone.cli;

/// Which build this is.
final class Version {
    private Version() {}

    static String halftone() {
        String version = Version.class.getPackage().getImplementationVersion();
        return version == null ? "(development)" : version;
    }
}
