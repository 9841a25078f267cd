package io.headrace.operator.aggregate;

import io.headrace.operator.BadRecord;
import io.headrace.operator.plan.FeaturePlan;
import io.headrace.operator.state.RawEvents;
import java.io.IOException;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

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
    void absorb(RawEvents events, int row);

    /** Takes in what another one of the same partial holds. */
    void merge(Accumulator other);

    /** The value of a feature; null where there is none. */
    Object value(FeaturePlan feature) throws BadRecord;

    /** Writes what is held. */
    void write(DataOutputView out) throws IOException;

    /** Reads what was written, in place of what is held. */
    void read(DataInputView in) throws IOException;
}
