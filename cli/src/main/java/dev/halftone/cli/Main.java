package dev.halftone.cli;

import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.lang.reflect.Constructor;
import java.nio.charset.StandardCharsets;

/// The process: streams, signals, exit code. Started by the launcher script `halftone`. Classes stand here in place of
/// lambdas, whose machinery would take a good part of a short start.
public final class Main {
    /// Reports what nothing else caught.
    private record FaultPrinter(PrintStream err) implements Thread.UncaughtExceptionHandler {
        @Override
        public void uncaughtException(Thread thread, Throwable fault) {
            Failure.of(fault).print(err, true);
        }
    }

    private Main() {}

    public static void main(String[] arguments) {
        PrintStream out = new PrintStream(
                new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 13),
                false,
                StandardCharsets.UTF_8);
        PrintStream err = standardError();
        System.setErr(err);
        Thread.setDefaultUncaughtExceptionHandler(
                (thread, fault) -> Failure.of(fault).print(err, true));
        Interruption interruption = new Interruption();
        Runtime.getRuntime().addShutdownHook(new Thread(interruption, "interruption"));
        int status;
        try {
            status = new Halftone(out, err, Environment.ofProcess(), interruption).run(arguments);
            out.flush();
        } finally {
            interruption.workEnded();
        }
        // While a signal takes the process down, the JVM sets the exit status, and exiting here would never return.
        if (!interruption.requested()) {
            System.exit(status);
        }
    }

    /// The launcher filters one notice of the JVM out of its standard error and passes the unfiltered stream as
    /// another descriptor. The platform opens no stream on a number: opening `/dev/fd/3` by name would write to a
    /// file at an offset of its own, and a downcall to `dup2` costs more time than all the rest of a start.
    private static PrintStream standardError() {
        Integer unfiltered = Integer.getInteger("halftone.stderr");
        if (unfiltered == null || !FileDescriptor.class.getModule().isOpen("java.io", Main.class.getModule())) {
            return System.err;
        }
        try {
            Constructor<FileDescriptor> constructor = FileDescriptor.class.getDeclaredConstructor(int.class);
            constructor.setAccessible(true);
            return new PrintStream(
                    new FileOutputStream(constructor.newInstance(unfiltered)), true, StandardCharsets.UTF_8);
        } catch (ReflectiveOperationException e) {
            // Another JVM's descriptors: the filtered stream serves as well, a line at a time.
            return System.err;
        }
    }
}
