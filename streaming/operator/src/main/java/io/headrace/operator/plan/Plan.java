package io.headrace.operator.plan;

import java.util.List;

/** What a project's job does, compiled from its definitions. */
public record Plan(
        String project,
        List<SourcePlan> sources,
        List<ViewPlan> views,
        List<DecisionPlan> decisions) {

    /** Reads a plan; what it can't be is told by an IllegalArgumentException. */
    public static Plan read(String json) {
        return PlanReader.read(json);
    }

    /** The view of a name. */
    public ViewPlan view(String name) {
        return views.stream()
                .filter(view -> view.name().equals(name))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("the plan has no view " + name));
    }

    /** The views of a decision, in the order in which its stages answer. */
    public List<ViewPlan> views(DecisionPlan decision) {
        return decision.stages().stream()
                .flatMap(stage -> stage.views().stream())
                .map(this::view)
                .toList();
    }

    /** Place of the source of a name. */
    public int sourcePlace(String name) {
        for (int place = 0; place < sources.size(); place++) {
            if (sources.get(place).name().equals(name)) {
                return place;
            }
        }
        throw new IllegalArgumentException("the plan has no source " + name);
    }
}
