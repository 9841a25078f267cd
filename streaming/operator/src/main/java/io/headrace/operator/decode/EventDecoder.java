package io.headrace.operator.decode;

import io.headrace.operator.BadRecord;
import io.headrace.operator.plan.SourcePlan;

/** Reads events of one source from their bytes, checked against the contract. */
public final class EventDecoder {
    /** For a source. */
    public EventDecoder(SourcePlan source) {}

    /** The values of the source's columns. */
    public Object[] decode(byte[] raw) throws BadRecord {
        throw new UnsupportedOperationException("decode");
    }
}
