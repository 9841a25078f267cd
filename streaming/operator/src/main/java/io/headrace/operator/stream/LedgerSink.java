package io.headrace.operator.stream;

import java.io.IOException;
import java.util.Collection;
import org.apache.flink.api.connector.sink2.Committer;
import org.apache.flink.api.connector.sink2.CommitterInitContext;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.StatefulSinkWriter;
import org.apache.flink.api.connector.sink2.SupportsCommitter;
import org.apache.flink.api.connector.sink2.SupportsWriterState;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.connector.kafka.sink.KafkaCommittable;
import org.apache.flink.connector.kafka.sink.KafkaWriterState;
import org.apache.flink.connector.kafka.sink.TwoPhaseCommittingStatefulSink;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.streaming.api.connector.sink2.CommittableMessage;
import org.apache.flink.streaming.api.connector.sink2.SupportsPostCommitTopology;
import org.apache.flink.streaming.api.datastream.DataStream;

/**
 * Flink's transactional sink, made strict: a deployment that is superseded prepares nothing more,
 * and a transaction that can't be committed ends the job instead of being logged and forgotten.
 */
public final class LedgerSink
        implements Sink<OutRecord>,
                SupportsWriterState<OutRecord, KafkaWriterState>,
                SupportsCommitter<KafkaCommittable>,
                SupportsPostCommitTopology<KafkaCommittable> {
    private static final long serialVersionUID = 1L;

    private final TwoPhaseCommittingStatefulSink<OutRecord, KafkaWriterState, KafkaCommittable> sink;
    private final SupportsPostCommitTopology<KafkaCommittable> topology;
    private final Deployment deployment;

    /** The strict form of a sink, one and the same in both its roles. */
    public <S extends TwoPhaseCommittingStatefulSink<OutRecord, KafkaWriterState, KafkaCommittable>
                    & SupportsPostCommitTopology<KafkaCommittable>>
            LedgerSink(S sink, Deployment deployment) {
        this.sink = sink;
        this.topology = sink;
        this.deployment = deployment;
    }

    @Override
    public SinkWriter<OutRecord> createWriter(WriterInitContext context) throws IOException {
        return new LedgerWriter(sink.createWriter(context), deployment);
    }

    @Override
    public StatefulSinkWriter<OutRecord, KafkaWriterState> restoreWriter(
            WriterInitContext context, Collection<KafkaWriterState> state) throws IOException {
        return new LedgerWriter(sink.restoreWriter(context, state), deployment);
    }

    @Override
    public SimpleVersionedSerializer<KafkaWriterState> getWriterStateSerializer() {
        return sink.getWriterStateSerializer();
    }

    @Override
    public Committer<KafkaCommittable> createCommitter(CommitterInitContext context)
            throws IOException {
        return new LedgerCommitter(sink.createCommitter(context), deployment);
    }

    @Override
    public SimpleVersionedSerializer<KafkaCommittable> getCommittableSerializer() {
        return sink.getCommittableSerializer();
    }

    @Override
    public void addPostCommitTopology(
            DataStream<CommittableMessage<KafkaCommittable>> committables) {
        topology.addPostCommitTopology(committables);
    }
}
