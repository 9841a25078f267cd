package io.headrace.operator.aggregate;

import io.headrace.operator.plan.ColumnType;
import io.headrace.operator.plan.PartialPlan;
import io.headrace.operator.plan.ViewPlan;

/** The accumulators of a view's partials. */
public final class Accumulators {
    private Accumulators() {}

    /** One empty accumulator for each partial, in the order of the plan. */
    public static Accumulator[] of(ViewPlan view) {
        return view.partials().stream()
                .map(partial -> of(view, partial))
                .toArray(Accumulator[]::new);
    }

    private static Accumulator of(ViewPlan view, PartialPlan partial) {
        return switch (partial.kind()) {
            case COUNT -> new CountAccumulator();
            case MOMENTS ->
                    partial.floating()
                            ? new FloatMoments(partial.column(), partial.withSquares())
                            : new IntegerMoments(partial.column(), partial.withSquares());
            case EXTREME ->
                    new ExtremeAccumulator(
                            partial.column(),
                            view.columns().get(partial.column()).type() == ColumnType.FLOAT64,
                            partial.greatest());
            case EDGE ->
                    new EdgeAccumulator(
                            partial.columns().stream().mapToInt(i -> i).toArray(), partial.last());
            case DISTINCT -> new DistinctAccumulator(partial.column());
            case THETA -> new ThetaAccumulator(partial.column());
            case HISTOGRAM -> new HistogramAccumulator(partial.column());
        };
    }
}
