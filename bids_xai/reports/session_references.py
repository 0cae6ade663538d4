"""The papers that the methods text of a session cites: a key → the reference."""

from __future__ import annotations

from collections.abc import Mapping

PREPROCESSING_REFERENCES: Mapping[str, str] = {
    "bids": "Gorgolewski KJ et al. (2016). The brain imaging data structure, a format for "
    "organizing and describing outputs of neuroimaging experiments. Scientific Data 3:160044. "
    "doi:10.1038/sdata.2016.44",
    "nipype": "Gorgolewski K et al. (2011). Nipype: a flexible, lightweight and extensible "
    "neuroimaging data processing framework in Python. Frontiers in Neuroinformatics 5:13. "
    "doi:10.3389/fninf.2011.00013",
    "n4": "Tustison NJ et al. (2010). N4ITK: improved N3 bias correction. IEEE Transactions on "
    "Medical Imaging 29(6):1310–1320. doi:10.1109/TMI.2010.2046908",
    "syn": "Avants BB et al. (2008). Symmetric diffeomorphic image registration with "
    "cross-correlation: evaluating automated labeling of elderly and neurodegenerative brain. "
    "Medical Image Analysis 12(1):26–41. doi:10.1016/j.media.2007.06.004",
    "greedy": "Yushkevich PA et al. (2016). Fast automatic segmentation of hippocampal subfields "
    "and medial temporal lobe subregions in 3 Tesla and 7 Tesla T2-weighted MRI. Alzheimer's & "
    "Dementia 12(7S):P126–P127. doi:10.1016/j.jalz.2016.06.205",
    "arlo": "Pei M et al. (2015). Algorithm for fast monoexponential fitting based on "
    "auto-regression on linear operations (ARLO) of data. Magnetic Resonance in Medicine "
    "73(2):843–850. doi:10.1002/mrm.25137",
    "numart2s": "Hagberg GE et al. (2002). Real-time quantification of T2* changes using "
    "multiecho planar imaging and numerical methods. Magnetic Resonance in Medicine "
    "48(5):877–882. doi:10.1002/mrm.10283",
    "synthstrip": "Hoopes A et al. (2022). SynthStrip: skull-stripping for any brain image. "
    "NeuroImage 260:119474. doi:10.1016/j.neuroimage.2022.119474",
    "valverde": "Valverde S et al. (2014). A white matter lesion-filling approach to improve "
    "brain tissue volume measurements. NeuroImage: Clinical 6:86–92. "
    "doi:10.1016/j.nicl.2014.08.016",
    "fonov": "Fonov V et al. (2011). Unbiased average age-appropriate atlases for pediatric "
    "studies. NeuroImage 54(1):313–327. doi:10.1016/j.neuroimage.2010.07.033",
    "templateflow": "Ciric R et al. (2022). TemplateFlow: FAIR-sharing of multi-scale, "
    "multi-species brain models. Nature Methods 19:1568–1571. doi:10.1038/s41592-022-01681-2",
}
"""Key → reference of the software and algorithms that prepare the images."""
MODEL_REFERENCES: Mapping[str, str] = {
    "Bach et al. 2015": "Bach S et al. (2015). On pixel-wise explanations for non-linear "
    "classifier decisions by layer-wise relevance propagation. PLoS ONE 10(7):e0130140. "
    "doi:10.1371/journal.pone.0130140",
    "Boehle et al. 2019": "Böhle M et al. (2019). Layer-wise relevance propagation for explaining "
    "deep neural network decisions in MRI-based Alzheimer's disease classification. Frontiers in "
    "Aging Neuroscience 11:194. doi:10.3389/fnagi.2019.00194",
    "Eitel and Ritter 2019": "Eitel F, Ritter K (2019). Testing the robustness of attribution "
    "methods for convolutional neural networks in MRI-based Alzheimer's disease classification. "
    "Lecture Notes in Computer Science 11797:3–11. doi:10.1007/978-3-030-33850-3_1",
    "Eitel et al. 2019": "Eitel F et al. (2019). Uncovering convolutional neural network decisions "
    "for diagnosing multiple sclerosis on conventional MRI using layer-wise relevance propagation. "
    "NeuroImage: Clinical 24:102003. doi:10.1016/j.nicl.2019.102003",
    "Eitel et al. 2021": "Eitel F et al. (2021). Patch individual filter layers in CNNs to harness "
    "the spatial homogeneity of neuroimaging data. Scientific Reports 11:24447. "
    "doi:10.1038/s41598-021-03785-9",
    "Montavon et al. 2017": "Montavon G et al. (2017). Explaining nonlinear classification "
    "decisions with deep Taylor decomposition. Pattern Recognition 65:211–222. "
    "doi:10.1016/j.patcog.2016.11.008",
    "Montavon et al. 2019": "Montavon G et al. (2019). Layer-wise relevance propagation: an "
    "overview. Lecture Notes in Computer Science 11700:193–209. doi:10.1007/978-3-030-28954-6_10",
    "Rieke et al. 2018": "Rieke J et al. (2018). Visualizing convolutional networks for MRI-based "
    "diagnosis of Alzheimer's disease. Lecture Notes in Computer Science 11038:24–31. "
    "arXiv:1808.02874",
    "Selvaraju et al. 2017": "Selvaraju RR et al. (2017). Grad-CAM: visual explanations from deep "
    "networks via gradient-based localization. ICCV 2017:618–626. doi:10.1109/ICCV.2017.74",
    "Shrikumar et al. 2016": "Shrikumar A et al. (2016). Not just a black box: learning important "
    "features through propagating activation differences. arXiv:1605.01713",
    "Simonyan et al. 2014": "Simonyan K et al. (2014). Deep inside convolutional networks: "
    "visualising image classification models and saliency maps. arXiv:1312.6034",
    "Smilkov et al. 2017": "Smilkov D et al. (2017). SmoothGrad: removing noise by adding noise. "
    "arXiv:1706.03825",
    "Springenberg et al. 2015": "Springenberg JT et al. (2015). Striving for simplicity: the all "
    "convolutional net. arXiv:1412.6806",
    "Sundararajan et al. 2017": "Sundararajan M et al. (2017). Axiomatic attribution for deep "
    "networks. Proceedings of Machine Learning Research 70:3319–3328",
    "Tinauer et al. 2025": "Tinauer C et al. (2025). Identifying Alzheimer's disease prediction "
    "strategies of convolutional neural network classifiers using R2* maps and spectral clustering",
    "Zeiler and Fergus 2014": "Zeiler MD, Fergus R (2014). Visualizing and understanding "
    "convolutional networks. Lecture Notes in Computer Science 8689:818–833. "
    "doi:10.1007/978-3-319-10590-1_53",
    "Zhou et al. 2016": "Zhou B et al. (2016). Learning deep features for discriminative "
    "localization. CVPR 2016:2921–2929. doi:10.1109/CVPR.2016.319",
}
"""Key, as the tables of attribution methods and networks have it → reference, for a session."""
