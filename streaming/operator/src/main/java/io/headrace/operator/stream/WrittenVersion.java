package io.headrace.operator.stream;

import java.io.IOException;
import org.apache.flink.runtime.execution.SuppressRestartsException;

/** The version of what a savepoint holds. */
final class WrittenVersion {
    private WrittenVersion() {}

    /**
     * Refuses what another release wrote; to try again would change nothing.
     *
     * @throws SuppressRestartsException the versions differ
     */
    static void require(String what, int found, int known) {
        if (found != known) {
            throw new SuppressRestartsException(
                    new IOException(
                            "the savepoint has "
                                    + what
                                    + " in version "
                                    + found
                                    + ", this release reads "
                                    + known
                                    + ": begin with the lake or without a state"));
        }
    }
}
