package io.headrace.operator.stream;

import org.apache.flink.api.common.eventtime.TimestampAssigner;
import org.apache.flink.api.common.eventtime.TimestampAssignerSupplier;

/** Places an event in the stream where it could first be known. */
public final class EventTimes implements TimestampAssignerSupplier<Envelope> {
    private static final long serialVersionUID = 1L;

    @Override
    public TimestampAssigner<Envelope> createTimestampAssigner(Context context) {
        return (event, sentAt) -> event.available;
    }
}
