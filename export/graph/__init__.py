"""A Keras network as a graph of operations, and rewrites of it that keep its function.

::

    graph         nodes, and the way to Keras    reader     from a Keras model to a graph
    layers        Keras layers by what they do   calls      Keras's private record of its calls
    lowering      folds affine maps exactly      heatmap    Grad-CAM in closed form
    gradient      Grad-CAM by differentiation, which the closed form must equal
"""
