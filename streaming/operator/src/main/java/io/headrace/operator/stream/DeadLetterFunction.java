package io.headrace.operator.stream;

import io.headrace.operator.plan.Plan;
import io.headrace.operator.plan.SourcePlan;
import java.util.List;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.util.Collector;

/** Lets events pass and puts records that can't be used aside. */
public final class DeadLetterFunction extends ProcessFunction<Envelope, Envelope> {
    private static final long serialVersionUID = 1L;

    private final String planJson;
    private transient List<SourcePlan> sources;

    /** For the sources of a plan. */
    public DeadLetterFunction(String planJson) {
        this.planJson = planJson;
    }

    @Override
    public void open(OpenContext context) {
        sources = Plan.read(planJson).sources();
    }

    @Override
    public void processElement(Envelope event, Context context, Collector<Envelope> out) {
        if (event.reason == null) {
            out.collect(event);
        } else {
            context.output(Outputs.ASIDE, DeadLetters.record(sources.get(event.source), event));
        }
    }
}
