package io.headrace.operator.aggregate;

import io.headrace.operator.BadRecord;
import io.headrace.operator.packed.PackedReader;
import io.headrace.operator.packed.PackedWriter;
import io.headrace.operator.plan.FeaturePlan;
import io.headrace.operator.state.EventColumns;
import java.io.IOException;

/**
 * The mergeable intermediate of an aggregate while it is built.
 *
 * <p>The order in which events and other intermediates of the same kind come in changes nothing in
 * the value.
 */
public interface Accumulator {
    /** Forgets everything. */
    void clear();

    /** Takes in one event. */
    void absorb(EventColumns events, int row);

    /** Takes in what another one of the same partial holds. */
    void merge(Accumulator other);

    /**
     * Takes in what the partial of an earlier plan holds, which may have had fewer columns.
     *
     * @param places for each column of a first or last row its place before, or -1
     */
    default void adopt(Accumulator earlier, int[] places) {
        merge(earlier);
    }

    /** The value of a feature; null where there is none. */
    Object value(FeaturePlan feature) throws BadRecord;

    /** Packs what is held as the online store keeps it; Python's partials read the same. */
    void pack(MessagePacker out) throws IOException;

    /** Writes what is held. */
    void write(PackedWriter out);

    /** Reads what was written, in place of what is held. */
    void read(PackedReader in);
}
