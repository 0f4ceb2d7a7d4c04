"""A Keras network as a graph of operations, and rewrites of it that keep its function.

::

    graph          nodes, and the way to Keras    reader     from a Keras model to a graph
    steps          a call as affine maps          refusals   layers that cannot be exported
    layers         Keras layers by what they do   calls      Keras's private record of its calls
    lowering       folds affine maps exactly      proof      compares the result with the model
    custom_layers  layers that Keras lacks        heatmap    Grad-CAM in closed form
    gradient       Grad-CAM by differentiation, which the closed form must equal
"""
