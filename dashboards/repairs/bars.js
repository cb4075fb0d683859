// A plug-in for flot: bars of several series stand side by side, also over categories.
// Option of a series: bars.order, a number; series are placed in its order.
(function ($) {
    'use strict';

    function ordered(series) {
        return series.bars && series.bars.show && series.bars.order !== null;
    }

    function place(plot, series, datapoints) {
        if (!ordered(series)) {
            return;
        }
        var orders = plot.getData().filter(ordered).map(function (one) { return one.bars.order; });
        var before = orders.filter(function (order) { return order < series.bars.order; }).length;
        // The middle of the group stands over the category, whose number is its place by now.
        var shift = (before - (orders.length - 1) / 2) * series.bars.barWidth;
        var points = datapoints.points;
        for (var i = 0; i < points.length; i += datapoints.pointsize) {
            if (points[i] !== null && points[i] !== undefined) {
                points[i] += shift;
            }
        }
    }

    $.plot.plugins.push({
        init: function (plot) { plot.hooks.processDatapoints.push(place); },
        options: {series: {bars: {order: null}}},
        name: 'bars side by side',
        version: '1.0'
    });
})(jQuery);
