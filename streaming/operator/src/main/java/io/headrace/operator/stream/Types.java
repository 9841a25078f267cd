package io.headrace.operator.stream;

import org.apache.flink.api.common.typeinfo.TypeInformation;

/** The types of what flows between operators. */
public final class Types {
    /** Events on their way. */
    public static final TypeInformation<Envelope> ENVELOPE =
            new OwnType<>(Envelope.class, EnvelopeSerializer.INSTANCE);

    /** Records for Kafka. */
    public static final TypeInformation<OutRecord> RECORD =
            new OwnType<>(OutRecord.class, OutRecordSerializer.INSTANCE);

    private Types() {}
}
